// @vitest-environment jsdom
import { expect, test } from "vitest";
import { onChangedElsewhere } from "./shell";

test("only the app's word that the configuration changed counts", () => {
  let times = 0;
  const stop = onChangedElsewhere(() => (times += 1));
  dispatchEvent(new CustomEvent("myelin", { detail: "configuration" }));
  dispatchEvent(new CustomEvent("myelin", { detail: "anything" }));
  dispatchEvent(new Event("myelin"));
  expect(times).toBe(1);
  stop();
  dispatchEvent(new CustomEvent("myelin", { detail: "configuration" }));
  expect(times).toBe(1);
});
