import fc from "fast-check";
import { expect, it } from "vitest";
import { findPath } from "@millrace/wire/json-scan";
import { bytesOf, textOf } from "./pieces.ts";

function at(text: string, path: readonly (string | number)[]): string | null {
  const bytes = bytesOf(text);
  const range = findPath(bytes, path);
  return range === null ? null : textOf(bytes.subarray(range.start, range.end));
}

it("a path of keys and array places leads to the bytes of its value", () => {
  const text = ' {"a": [ 1 , {"b":[ "x,]", {"c" : 2.50 }]} ]} ';
  expect(at(text, ["a", 1, "b", 1, "c"])).toBe("2.50");
  expect(at(text, ["a", 1, "b", 0])).toBe('"x,]"');
  expect(at(text, [])).toBe(text);
});

it("a path that leads nowhere finds nothing", () => {
  for (const path of [["a", 2], ["a", "b"], [0], ["a", 0, "b"], ["a", 1, "b", 0, 0], ["z"]])
    expect([path, at('{"a":[1,{"b":[]}]}', path)]).toEqual([path, null]);
  expect(at("[]", [0])).toBeNull();
  expect(at("[1", [1])).toBeNull();
});

it("what a path finds is what a parser finds", () => {
  fc.assert(
    fc.property(fc.array(fc.dictionary(fc.string(), fc.jsonValue())), fc.nat(5), fc.string(), (list, place, key) => {
      const item = list[place];
      const found = at(JSON.stringify(list, null, 1), [place, key]);
      if (item === undefined || !Object.hasOwn(item, key)) expect(found).toBeNull();
      else expect(JSON.parse(found ?? "null")).toEqual(JSON.parse(JSON.stringify(item[key])));
    }),
  );
});
