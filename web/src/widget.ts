// The notebook's side: a frame with the page, and messages passed between it and Python.

interface Model {
  get(name: string): unknown;
  send(content: object): void;
  on(event: "msg:custom", listener: (content: any, buffers: DataView[]) => void): void;
  off(event: "msg:custom", listener: (content: any, buffers: DataView[]) => void): void;
}

function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
  const frame = document.createElement("iframe");
  frame.title = "byhand: the numbers of a run";
  frame.sandbox.add("allow-scripts", "allow-downloads");
  frame.style.cssText = `width:100%;height:${model.get("height")}px;border:0`;
  const asked = ({ source, data }: MessageEvent) => {
    if (source === frame.contentWindow && typeof data?.op === "string") model.send(data);
  };
  const answered = (content: any, buffers: DataView[]) => {
    const view = buffers[0];
    const bytes = view && view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
    frame.contentWindow?.postMessage({ ...content, bytes }, "*");
  };
  addEventListener("message", asked);
  model.on("msg:custom", answered);
  frame.srcdoc = String(model.get("page"));
  el.append(frame);
  return () => {
    removeEventListener("message", asked);
    model.off("msg:custom", answered);
    frame.remove();
  };
}

export default { render };
