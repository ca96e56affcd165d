import { expect, test } from "vitest";
import { type Command, find } from "./commands";

const command = (label: string, group = "page"): Command => ({ id: label, label, group, run: () => undefined });
const commands = [command("Requests"), command("Routes"), command("Profiles"), command("cheap", "profile")];
const names = (text: string) => find(commands, text).map((found) => found.label);

test("a few letters find a command, the best first", () => {
  expect(names("")).toHaveLength(4);
  expect(names("ro")[0]).toBe("Routes");
  expect(names("rqs")).toEqual(["Requests"]);
  expect(names("profile")).toEqual(["Profiles", "cheap"]);
  expect(names("zzz")).toEqual([]);
});
