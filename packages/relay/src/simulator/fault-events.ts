import type { AnswerPlan } from "./answer-plan.ts";
import { choiceJson, chunkHead, deltaJson, roleDeltaJson } from "./chunk.ts";
import { errorEvents } from "./error-body.ts";
import type { Fault } from "./fault.ts";
import { isEvent } from "./stream-item.ts";
import type { StreamItem } from "./stream-item.ts";

const ERROR_MESSAGE = "The simulator was told to fail here.";
const COMMENT_COUNT = 5;
const ENDLESS_PIECE = "a".repeat(16_384);

/** What a fault makes of a stream's items; most faults leave them as they are. */
export function spoilItems(fault: Fault | null, items: Iterable<StreamItem>, plan: AnswerPlan): Iterable<StreamItem> {
  switch (fault?.kind) {
    case "stall":
      return takeThen(items, fault.events, ["hang"]);
    case "garbage-event":
      return takeThen(items, fault.afterEvents, [{ data: '{"id":"chatcmpl-broken","choices":[{"index":0,"del' }], items);
    case "error-event":
      return takeThen(items, fault.afterEvents, errorEvents(fault.shape ?? "openai", ERROR_MESSAGE, chunkHead(plan)));
    case "error-first":
      return ["tick", ...errorEvents(fault.shape ?? "openai", ERROR_MESSAGE, chunkHead(plan))];
    case "comments-only":
      return ["tick", ...Array.from({ length: COMMENT_COUNT }, (): StreamItem => ({ raw: ": keep-alive\n\n" }))];
    case "role-only":
      return ["tick", { data: `${chunkHead(plan)}${choiceJson(plan, 0, roleDeltaJson(plan), "null")}}` }];
    case "done-only":
      return ["tick", { data: "[DONE]" }];
    case "endless-line":
      return endlessLine(plan);
    case "endless-stream":
      return endlessStream(plan);
    case "hang-headers":
      return ["hang"];
    case "blank":
    case "blank-lines-only":
      return ["tick", ...(fault.kind === "blank" ? [] : [{ raw: "\n".repeat(COMMENT_COUNT) }])];
    case "after-done":
      return followedBy(items, [{ data: `${chunkHead(plan)}${choiceJson(plan, 0, '{"content":" late"}', "null")}}` }]);
    case "empty-data":
      return takeThen(items, 1, [{ raw: "data:\n\n" }], items);
    case "id-change":
      return changeIds(items, plan);
    case "bad-utf8":
      return takeThen(items, 1, [{ raw: badUtf8(plan) }], items);
    case "linger":
      return followedBy(items, [{ lingerMs: fault.ms }]);
    case "echo":
      return fault.inEvent === true ? takeThen(items, 1, errorEvents("openai", plan.text ?? "", chunkHead(plan))) : items;
    default:
      return items;
  }
}

/** The first `count` events, then `then`, then (where given) the rest of the same items. */
function* takeThen(
  items: Iterable<StreamItem>,
  count: number,
  then: readonly StreamItem[],
  rest?: Iterable<StreamItem>,
): Generator<StreamItem> {
  const iterator = items[Symbol.iterator]();
  let taken = 0;
  // The first item is the wait for the first event: nothing comes before it.
  for (let next = iterator.next(); next.done !== true; next = iterator.next()) {
    yield next.value;
    if (isEvent(next.value)) taken += 1;
    if (taken >= count) break;
  }
  yield* then;
  if (rest === undefined) return;
  for (let next = iterator.next(); next.done !== true; next = iterator.next()) yield next.value;
}

function* followedBy(items: Iterable<StreamItem>, more: readonly StreamItem[]): Generator<StreamItem> {
  yield* items;
  yield* more;
}

function* endlessLine(plan: AnswerPlan): Generator<StreamItem> {
  yield "tick";
  yield { raw: `data: ${chunkHead(plan)}"choices":[{"index":0,"delta":{"content":"` };
  for (;;) yield { raw: ENDLESS_PIECE };
}

function* endlessStream(plan: AnswerPlan): Generator<StreamItem> {
  const head = chunkHead(plan);
  for (let count = 0; ; count += 1) {
    yield "tick";
    const delta = deltaJson(plan, { kind: "content", text: `${count} ` }, count === 0);
    yield { data: `${head}${choiceJson(plan, 0, delta, "null")}}` };
  }
}

function* changeIds(items: Iterable<StreamItem>, plan: AnswerPlan): Generator<StreamItem> {
  const head = chunkHead(plan);
  const changed = chunkHead({ ...plan, id: `${plan.id}-changed`, model: `${plan.model}-changed` });
  let count = 0;
  for (const item of items) {
    if (isEvent(item)) count += 1;
    yield isEvent(item) && count > 2 ? { ...item, data: item.data.replace(head, () => changed) } : item;
  }
}

function badUtf8(plan: AnswerPlan): Uint8Array {
  const [before = "", after = ""] = `${chunkHead(plan)}${choiceJson(plan, 0, '{"content":"%"}', "null")}}`.split("%");
  return Buffer.concat([Buffer.from(`data: ${before}`), Buffer.from([0xc3, 0x28, 0xff]), Buffer.from(`${after}\n\n`)]);
}
