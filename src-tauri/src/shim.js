// Runs in the console's page before the page does. The webview hands over whole bodies only, so answers of models are pulled piece by piece: the page
// sees an ordinary stream. Everything else goes its usual way.
(() => {
  if (window.top !== window) return;
  const send = window.fetch.bind(window);
  const MODELS = /^\/(v1|v1beta|anthropic|gemini|dify|p)\/|^\/api\/(chat|generate)$/;
  const STREAM = "x-carrier-stream";

  window.fetch = async (input, init) => {
    const request = new Request(input, init);
    const url = new URL(request.url);
    if (url.origin !== location.origin || request.method !== "POST" || !MODELS.test(url.pathname)) {
      return send(input, init);
    }
    const name = crypto.randomUUID();
    const at = `/carrier/${name}`;
    const giveUp = () => void send(at, { method: "DELETE" }).catch(() => {});
    const { signal } = request;
    signal.throwIfAborted();
    signal.addEventListener("abort", giveUp, { once: true });
    const headers = new Headers(request.headers);
    headers.set(STREAM, name);
    const body = await request.arrayBuffer();
    const head = await send(url.pathname + url.search, { method: "POST", headers, body, signal });
    if (head.headers.get(STREAM) !== name) return head;
    const pieces = new ReadableStream(
      {
        pull: async (controller) => {
          try {
            const piece = await send(at, { signal });
            if (piece.status === 200) return controller.enqueue(new Uint8Array(await piece.arrayBuffer()));
            signal.removeEventListener("abort", giveUp);
            if (piece.status === 204) controller.close();
            else controller.error(new TypeError(await piece.text()));
          } catch (error) {
            controller.error(error);
          }
        },
        cancel: giveUp,
      },
      { highWaterMark: 0 },
    );
    const shown = new Headers(head.headers);
    shown.delete(STREAM);
    return new Response(pieces, { status: head.status, statusText: head.statusText, headers: shown });
  };
})();
