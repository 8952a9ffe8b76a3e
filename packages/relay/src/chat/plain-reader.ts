/** Reads one upstream's plain answer. It judges a small answer whole before a byte leaves, and passes a larger one on as it comes. */
import type { ErrorCode } from "@millrace/wire/error-codes";
import { JsonScanner } from "@millrace/wire/json-scan";
import type { JsonMember } from "@millrace/wire/json-scan";
import { GrowingBuffer } from "../basics/growing-buffer.ts";
import type { Mark } from "../insight/row.ts";
import type { ClientRequest, Provider, WireRequest } from "../provider/provider.ts";
import { isObject } from "@millrace/wire/json-values";
import type { AnswerHeaders } from "../upstream/dialer.ts";
import type { BodyReader, ReaderHost } from "./body-reader.ts";
import type { Delivery } from "./delivery.ts";
import { publicModelOf, withModel } from "./event-transforms.ts";
import { Meter } from "./meter.ts";
import type { Redactor } from "./redact.ts";

/** A plain answer up to this size is read whole before its status leaves. */
const JUDGED_BYTES_MAX = 1024 * 1024;
/** Of a larger answer, the newest bytes stay here, so that a member found in them can still be changed. */
const WINDOW_BYTES = 64 * 1024;
/** Values in the answer: a batch of long embeddings has millions of numbers. */
const ITEMS_MAX = 64 * 1024 * 1024;

export interface PlainReaderSettings {
  readonly provider: Provider;
  readonly request: ClientRequest;
  readonly wire: WireRequest;
  readonly redactor: Redactor;
  readonly delivery: Delivery;
  readonly answerBytesMax: number;
}

export class PlainReader implements BodyReader {
  readonly expected = "JSON";
  readonly meter = new Meter(null);
  readonly isWaiting = false;
  readonly #host: ReaderHost;
  readonly #settings: PlainReaderSettings;
  readonly #publicModel: Buffer | null;
  readonly #held = new GrowingBuffer();
  readonly #marks = new Set<Mark>();
  #bytes = 0;
  #scanner: JsonScanner | null = null;
  /** Offset of the first held byte in the upstream's body. */
  #heldFrom = 0;
  /** How many members were handled. */
  #settled = 0;

  constructor(host: ReaderHost, settings: PlainReaderSettings) {
    this.#host = host;
    this.#settings = settings;
    this.#publicModel = publicModelOf(settings.request.model, settings.wire.model);
  }

  accepts(headers: AnswerHeaders): boolean {
    return /json|text\/plain/i.test(headers["content-type"] ?? "application/json");
  }

  push(bytes: Buffer): void {
    const { answerBytesMax } = this.#settings;
    this.#held.append(bytes);
    this.#bytes += bytes.length;
    if (this.#bytes > answerBytesMax) return this.cut("upstream_failed", `sent more than ${answerBytesMax} bytes`);
    if (this.#bytes > JUDGED_BYTES_MAX) this.#passOn(bytes);
  }

  /** A plain answer is covered whole by its hold. */
  onCovered(): void {}

  /** Handles the members that are complete by now, then sends what is older than the window. */
  #passOn(bytes: Buffer): void {
    const isFirst = this.#scanner === null;
    this.#scanner ??= new JsonScanner({ depthMax: 64, itemsMax: ITEMS_MAX });
    if (this.#scanner.push(isFirst ? this.#held.bytes : bytes) !== null)
      return this.cut("upstream_failed", "sent an answer that is not JSON");
    const { members } = this.#scanner;
    if (members.length > this.#settled) {
      for (const member of members.slice(this.#settled)) this.#settle(member);
      this.#settled = members.length;
    }
    // Twice the window, so that a body in tiny pieces is not moved at each of them.
    if (this.#held.length >= 2 * WINDOW_BYTES) this.#sendUntil(this.#heldFrom + this.#held.length - WINDOW_BYTES);
  }

  #settle(member: JsonMember): void {
    if (member.valueStart < this.#heldFrom || this.#host.isOver) return;
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
    const facts = this.#settings.provider.readPlain({ [member.key]: value, data: [] });
    if (facts.error !== null) return this.cut("upstream_failed", "answered with an error in a success");
    this.meter.add(facts, performance.now());
  }

  /** @param end offset in the upstream's body. */
  #sendUntil(end: number): void {
    const count = end - this.#heldFrom;
    if (count <= 0 || this.#host.isOver) return;
    // All that is held is searched, so that a secret is struck out before its first half can leave.
    const clean = this.#clean(this.#held.bytes);
    this.#held.overwrite(clean);
    this.#send(Buffer.from(clean.subarray(0, count)));
    this.#held.drop(count);
    this.#heldFrom = end;
  }

  #send(bytes: Buffer): void {
    if (this.#host.isDraining) return;
    if (!this.#settings.delivery.append([bytes], performance.now())) this.#host.pause("client");
  }

  end(): void {
    const whole = this.#clean(this.#held.bytes);
    if (this.#scanner === null) this.#endSmall(whole);
    else if (this.#scanner.end() === null) this.#complete(whole);
    else this.cut("upstream_truncated", "ended in the middle of its answer");
  }

  #endSmall(whole: Buffer): void {
    const parsed = parse(whole);
    if (parsed === undefined) {
      const isEmpty = whole.toString("utf8", 0, 256).trim() === "";
      return this.#host.fail("failed", isEmpty ? "answered with an empty body" : "answered with something that is not JSON", null);
    }
    const facts = this.#settings.provider.readPlain(parsed);
    if (facts.error !== null) return this.#host.fail("failed", "answered with an error in a success", facts.error);
    if (!facts.hasContent) return this.#host.fail("failed", "answered without an answer", null);
    this.meter.add(facts, performance.now());
    const isNamed = this.#publicModel !== null && isObject(parsed) && Object.hasOwn(parsed, "model");
    this.#complete(isNamed && this.#publicModel !== null ? withModel(whole, this.#publicModel) : whole);
  }

  #complete(rest: Buffer): void {
    this.#host.finish({ kind: "complete", marks: [...this.#marks], rest });
  }

  #clean(bytes: Buffer): Buffer {
    const clean = this.#settings.redactor.clean(bytes);
    if (clean !== bytes) this.#marks.add("redacted");
    return clean;
  }

  cut(code: ErrorCode, detail: string): void {
    if (this.#settings.delivery.isCommitted || this.#host.isDraining)
      return this.#host.finish({ kind: "broken", code, detail, note: null });
    this.#host.fail(code === "upstream_truncated" || code === "upstream_failed" ? "failed" : "timeout", detail, null);
  }
}

function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8")) as unknown;
  } catch {
    return undefined;
  }
}
