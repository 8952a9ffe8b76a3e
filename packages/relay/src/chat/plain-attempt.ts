/** Reads one upstream's plain answer. Up to a bound it is judged whole before a byte leaves; a larger one passes on. */
import type { ErrorCode } from "@millrace/wire/error-codes";
import { findMember, JsonScanner } from "@millrace/wire/json-scan";
import type { JsonMember } from "@millrace/wire/json-scan";
import { isObject } from "@millrace/wire/json-values";
import type { Mark } from "../insight/row.ts";
import type { AnswerHeaders } from "../upstream/dial.ts";
import { Attempt } from "./attempt.ts";
import type { AttemptInput } from "./attempt.ts";
import { GrowingBuffer } from "../basics/growing-buffer.ts";
import type { Sink } from "./sink.ts";

/** A plain answer up to this size is read whole before its status leaves. */
const JUDGED_BYTES_MAX = 1024 * 1024;
/** Of a larger answer, the newest bytes stay here, so that a member found in them can still be changed. */
const WINDOW_BYTES = 64 * 1024;
/** Values in the answer: a batch of long embeddings has millions of numbers. */
const ITEMS_MAX = 64 * 1024 * 1024;

export class PlainAttempt extends Attempt {
  readonly #sink: Sink;
  readonly #open: () => void;
  readonly #publicModel: Buffer | null;
  readonly #held = new GrowingBuffer();
  #bytes = 0;
  readonly #marks = new Set<Mark>();
  #scanner: JsonScanner | null = null;
  /** Offset of the first held byte in the upstream's body. */
  #heldFrom = 0;
  /** Members that were looked at. */
  #settled = 0;
  /** The whole small answer, ready to leave. */
  body: Buffer | null = null;

  constructor(input: AttemptInput, sink: Sink, open: () => void) {
    super(input);
    this.#sink = sink;
    this.#open = open;
    this.#publicModel = input.wire.model === input.request.model ? null : Buffer.from(JSON.stringify(input.request.model));
  }

  protected onSuccess(headers: AnswerHeaders): void {
    const type = headers["content-type"] ?? "application/json";
    if (!/json|text\/plain/i.test(type)) this.collectError();
  }

  protected describeWrong(status: number): string {
    return `answered ${status} without JSON`;
  }

  protected onBody(bytes: Buffer): void {
    this.#held.append(bytes);
    this.#bytes += bytes.length;
    if (this.#bytes > this.input.answerBytesMax)
      return this.onBreak("upstream_failed", `sent more than ${this.input.answerBytesMax} bytes`);
    if (this.#bytes > JUDGED_BYTES_MAX) this.#passOn(bytes);
  }

  /** Sends what is older than the window; members that were completed in it are seen to first. */
  #passOn(bytes: Buffer): void {
    const isFirst = this.#scanner === null;
    this.#scanner ??= new JsonScanner({ depthMax: 64, itemsMax: ITEMS_MAX });
    if (this.#scanner.push(isFirst ? this.#held.bytes : bytes) !== null)
      return this.onBreak("upstream_failed", "sent an answer that is not JSON");
    const { members } = this.#scanner;
    if (members.length > this.#settled) {
      for (const member of members.slice(this.#settled)) this.#settle(member);
      this.#settled = members.length;
    }
    // Twice the window, so that a body in tiny pieces is not moved at each of them.
    if (this.#held.length >= 2 * WINDOW_BYTES) this.#sendUntil(this.#heldFrom + this.#held.length - WINDOW_BYTES);
  }

  #settle(member: JsonMember): void {
    if (member.valueStart < this.#heldFrom || this.isOver) return;
    if (member.key === "usage" || member.key === "error") this.#readMember(member);
    if (member.key !== "model" || this.#publicModel === null) return;
    this.#sendUntil(member.valueStart);
    this.#send(this.#publicModel);
    this.#held.drop(member.valueEnd - this.#heldFrom);
    this.#heldFrom = member.valueEnd;
  }

  #readMember(member: JsonMember): void {
    const value = JSON.parse(
      this.#held.bytes.toString("utf8", member.valueStart - this.#heldFrom, member.valueEnd - this.#heldFrom),
    ) as unknown;
    const facts = this.input.provider.readPlain({ [member.key]: value, data: [] });
    if (facts.error !== null) return this.onBreak("upstream_failed", "answered with an error in a success");
    this.input.meter.add(facts, performance.now());
  }

  /** @param end offset in the upstream's body. */
  #sendUntil(end: number): void {
    const count = end - this.#heldFrom;
    if (count <= 0 || this.isOver) return;
    // All that is held is searched, so that a secret is struck out before its first half can leave.
    const clean = this.#clean(this.#held.bytes);
    this.#held.overwrite(clean);
    this.#send(Buffer.from(clean.subarray(0, count)));
    this.#held.drop(count);
    this.#heldFrom = end;
  }

  #send(bytes: Buffer): void {
    if (this.isDraining) return;
    if (!this.#sink.isOpen) this.#open();
    if (!this.#sink.write(bytes)) this.pause();
  }

  protected onBodyEnd(): void {
    const whole = this.#clean(this.#held.bytes);
    if (this.#scanner !== null) return this.#endLarge(whole, this.#scanner);
    const parsed = parse(whole);
    if (parsed === undefined)
      return this.fail(
        "failed",
        whole.toString("utf8", 0, 256).trim() === "" ? "answered with an empty body" : "answered with something that is not JSON",
      );
    const facts = this.input.provider.readPlain(parsed);
    if (facts.error !== null)
      return this.fail("failed", "answered with an error in a success", { error: this.input.redactor.cleanError(facts.error) });
    if (!facts.hasContent) return this.fail("failed", "answered without an answer");
    this.input.meter.add(facts, performance.now());
    this.body = this.#withPublicModel(whole, parsed);
    this.finish({ kind: "complete", marks: [...this.#marks] });
  }

  #endLarge(rest: Buffer, scanner: JsonScanner): void {
    if (scanner.end() !== null) return this.onBreak("upstream_truncated", "ended in the middle of its answer");
    this.body = rest;
    this.finish({ kind: "complete", marks: [...this.#marks] });
  }

  #clean(bytes: Buffer): Buffer {
    const clean = this.input.redactor.clean(bytes);
    if (clean !== bytes) this.#marks.add("redacted");
    return clean;
  }

  #withPublicModel(whole: Buffer, parsed: unknown): Buffer {
    if (this.#publicModel === null || !isObject(parsed) || !Object.hasOwn(parsed, "model")) return whole;
    const place = findMember(whole, "model");
    return place === null ? whole : Buffer.concat([whole.subarray(0, place.start), this.#publicModel, whole.subarray(place.end)]);
  }

  protected onBreak(code: ErrorCode, detail: string): void {
    if (this.#sink.isOpen || this.isDraining) return this.finish({ kind: "broken", code, detail, note: null });
    this.fail(code === "upstream_truncated" || code === "upstream_failed" ? "failed" : "timeout", detail);
  }
}

function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8")) as unknown;
  } catch {
    return undefined;
  }
}
