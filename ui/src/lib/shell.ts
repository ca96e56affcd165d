/** What the desktop window can do beyond a browser. The only file that knows about it; in a browser it says so and does nothing. */

type Host = { __TAURI_INTERNALS__?: unknown; myelinAddress?: string };

export const inWindow = (): boolean => typeof window !== "undefined" && "__TAURI_INTERNALS__" in (window as Host);

/** Where tools call the gateway. The window's own address means nothing to them, so the app tells. */
export const gatewayAddress = (): string => (window as Host).myelinAddress ?? location.origin;

/** Calls when the app around the window says that the configuration was changed elsewhere, as from the tray. Returns the way to stop. */
export function onChangedElsewhere(changed: () => void): () => void {
  const hear = (event: Event) => {
    if (event instanceof CustomEvent && event.detail === "configuration") changed();
  };
  addEventListener("myelin", hear);
  return () => removeEventListener("myelin", hear);
}

/** Copies text. Browsers allow the clipboard only on secure pages, which a server in the local network is not. */
export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

function copyBySelection(text: string): boolean {
  const area = document.createElement("textarea");
  area.value = text;
  area.style.position = "fixed";
  area.style.opacity = "0";
  (document.querySelector("[role=dialog]") ?? document.body).append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

/** Offers text as a file. */
export function download(name: string, type: string, text: string) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
