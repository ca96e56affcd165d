import { expect, test } from "vitest";
import type { Api } from "@/api/client";
import { outages, place } from "./failures";

const event = (id: number, kind: string, data: object): Api<"Event"> =>
  ({ id, at: id * 1000, level: "warning", kind, subject: "main", message: "", data }) as Api<"Event">;

test("openings and closings become stretches of time, each of its own", () => {
  const found = outages([
    event(1, "breaker-open", { why: "it failed too often" }),
    event(2, "breaker-open", { model: "gpt-5", credential: 1, why: "refused" }),
    event(3, "breaker-open", { why: "again" }),
    event(4, "limit-mark", {}),
    event(5, "breaker-closed", {}),
    event(6, "breaker-closed", { model: "other" }),
  ]);
  expect(found).toEqual([
    { what: "main/gpt-5 #2", why: "refused", from: 2000 },
    { what: "main", why: "again", from: 1000, to: 5000 },
  ]);
});

test("what is put back by hand ends everything that it names", () => {
  const open = [
    event(1, "breaker-open", { why: "x" }),
    event(2, "breaker-open", { model: "m", why: "x" }),
    event(3, "breaker-open", { credential: 0, why: "x" }),
  ];
  const ends = (data: object) => outages([...open, event(4, "breaker-closed", data)]).map((outage) => outage.to);
  expect(ends({ channel: "main", reset: 3 })).toEqual([4000, 4000, 4000]);
  expect(ends({ reset: 3 })).toEqual([4000, 4000, 4000]);
  expect(ends({ channel: "other", reset: 1 })).toEqual([undefined, undefined, undefined]);
});

test("only what lies in the stretch is drawn", () => {
  expect(place({ what: "", why: "", from: 10, to: 20 }, 0, 100)).toEqual({ from: 10, to: 20 });
  expect(place({ what: "", why: "", from: -50 }, 0, 100)).toEqual({ from: 0, to: 100 });
  expect(place({ what: "", why: "", from: 10, to: 20 }, 30, 100)).toBeUndefined();
});
