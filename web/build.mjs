// Builds the page into the Python package. The same sources always give the same bytes, which a test holds.
import { build } from "esbuild";
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const into = process.argv[2] ?? join(here, "../src/byhand/explorer/static");

await mkdir(into, { recursive: true });
await build({
  absWorkingDir: here,
  entryPoints: { app: "src/main.tsx", widget: "src/widget.ts" },
  outdir: into,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  charset: "utf8",
  logLevel: "warning",
});
await copyFile(join(here, "src/index.html"), join(into, "index.html"));

// what the built page holds of others, with their notices
const others = ["preact", "@preact/signals", "@preact/signals-core"];
const notices = others.map(async (name) => `${name}\n\n${await readFile(join(here, "node_modules", name, "LICENSE"), "utf8")}`);
await writeFile(join(into, "licences.txt"), (await Promise.all(notices)).join("\n\n"));
