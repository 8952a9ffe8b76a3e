import { expect, test } from "vitest";
import { isForRepair, EventRepair } from "../../src/chat/event-repair.ts";

/** What each event is after the mender has seen it; null where it may go out as it came. */
function mendAll(...events: readonly string[]): (string | null)[] {
  const mender = new EventRepair();
  return events.map((text) => {
    const event = JSON.parse(text) as object;
    return isForRepair(event) ? (mender.mend(event, Buffer.from(text))?.toString("utf8") ?? null) : null;
  });
}

function choice(delta: string, index = 0): string {
  return `{"n":1.50,"choices":[{"index":${index},"delta":${delta}}]}`;
}

function calls(...list: readonly string[]): string {
  return choice(`{"tool_calls":[${list.join(",")}]}`);
}

test("an event that says everything once goes out as it came", () => {
  const once = [
    choice('{"role":"assistant"}'),
    choice('{"content":"a"}'),
    choice('{"role":"assistant"}', 1),
    choice('{"role":null}'),
    '{"choices":[]}',
  ];
  expect(mendAll(...once)).toEqual(once.map(() => null));
  expect(isForRepair(JSON.parse(choice('{"content":"a"}')) as object)).toBe(false);
});

test("a role that is said again is taken out, and every other byte stays", () => {
  const again = choice('{ "role" : "assistant", "content":"a\\u00e9" }');
  expect(mendAll(choice('{"role":"assistant"}'), again)).toEqual([null, choice('{ "content":"a\\u00e9" }')]);
});

test("the head of a tool call that is said again is taken out", () => {
  const head = '{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{"}}';
  const again = '{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"}"}}';
  expect(mendAll(calls(head), calls(again))).toEqual([null, calls('{"index":0,"function":{"arguments":"}"}}')]);
});

test("two calls that make use of one function keep their names", () => {
  const heads = ["a", "b"].map((id, index) => calls(`{"index":${index},"id":"${id}","function":{"name":"f","arguments":""}}`));
  expect(mendAll(...heads)).toEqual([null, null]);
});

test("a tool call without its index gets the one of the call it goes on with, or the next", () => {
  const mended = mendAll(
    calls('{"id":"a","function":{"name":"f","arguments":"1"}}'),
    calls('{"function":{"arguments":"2"}}'),
    calls('{"id":"b","function":{"name":"g","arguments":"3"}}', '{"index":null,"id":"a","function":{"arguments":"4"}}'),
    calls('{"function":{"name":"h","arguments":"5"}}'),
  );
  expect(mended).toEqual([
    calls('{"id":"a","function":{"name":"f","arguments":"1"},"index":0}'),
    calls('{"function":{"arguments":"2"},"index":0}'),
    calls('{"id":"b","function":{"name":"g","arguments":"3"},"index":1}', '{"index":0,"function":{"arguments":"4"}}'),
    calls('{"function":{"name":"h","arguments":"5"},"index":2}'),
  ]);
});

test("`error: null` is taken out, with other mends in the same event", () => {
  expect(mendAll('{"error":null,"choices":[]}')).toEqual(['{"choices":[]}']);
  const both = '{"choices":[{"delta":{"role":"assistant","content":"a"}}],"error":null}';
  expect(mendAll(choice('{"role":"assistant"}'), both)).toEqual([null, '{"choices":[{"delta":{"content":"a"}}]}']);
});
