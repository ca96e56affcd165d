/** Every page. */
export const PAGES = [
  "/",
  "/requests",
  "/costs",
  "/costs?tab=hours",
  "/costs?tab=forecast",
  "/costs?tab=caches",
  "/costs?tab=whatif&as=main%2Fgpt-5-mini",
  "/performance",
  "/performance?view=time",
  "/performance?view=failures",
  "/limits",
  "/profiles",
  "/routes",
  "/channels",
  "/keys",
  "/tools",
  "/tools?view=folders",
  "/playground",
  "/settings",
];

/** Every dialog with an address. */
export const DIALOGS = [
  "/channels?add=",
  "/channels?add=azure",
  "/channels?look=main",
  "/channels?edit=main",
  "/keys?add=true",
  "/profiles?add=true",
  "/routes?add=true",
  "/limits?add=true",
];

/** Dialogs that have something looked up when they open: servers on this machine, a tool's files. */
export const LOOKING = [
  "/channels?found=true",
  "/tools?connect=codex",
  "/tools?connect=opencode",
  "/tools?restore=codex",
  "/tools?snippet=shell",
];
