/** One column of a histogram. What is not empty can be seen, however small. */
export function Bar({ share, chosen, says }: { share: number; chosen: boolean; says: string }) {
  return <span class={chosen ? "chosen" : undefined} title={says} style={{ height: share ? `max(2px, ${(100 * share).toFixed(2)}%)` : "0" }} />;
}
