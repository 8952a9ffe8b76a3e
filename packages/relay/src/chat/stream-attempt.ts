/** Reads one upstream's event stream and passes whole events on, as they came, reading beside them. */
import type { ErrorCode } from "@millrace/wire/error-codes";
import { findMember } from "@millrace/wire/json-scan";
import { frameEvent, SseScanner } from "@millrace/wire/sse";
import type { SseHandler } from "@millrace/wire/sse";
import type { EventFacts, UpstreamError } from "../provider/provider.ts";
import type { Mark } from "../insight/row.ts";
import type { AnswerHeaders } from "../upstream/dial.ts";
import { Attempt } from "./attempt.ts";
import type { AttemptInput } from "./attempt.ts";
import type { CreditGate } from "./credit-gate.ts";
import { EventTemplate } from "./event-template.ts";
import { isForMender, isTooManyParts, EventRepair } from "./event-repair.ts";
import type { ClientStream } from "./client-stream.ts";

/** Of lines that are no events, this much is kept: some upstreams put their error there, bare. */
const STRAY_BYTES_MAX = 4096;
/** Ends a line and an event. */
const EVENT_END = Buffer.from("\n\n");

export class StreamAttempt extends Attempt implements SseHandler {
  readonly #out: ClientStream;
  readonly #scanner: SseScanner;
  readonly #onGap: (ms: number) => void;
  /** The public name as JSON, when the upstream knows the model by another one. */
  readonly #publicModel: Buffer | null;
  readonly #template: EventTemplate;
  readonly #mender = new EventRepair();
  /** Asks whether what is read is paid for; null when all of it is. */
  readonly #gate: CreditGate | null;
  /** What is to be done when the pieces that wait for money have left. */
  #whenCovered: (() => void) | null = null;
  readonly #marks = new Set<Mark>();
  #sawDone = false;
  #sawEvent = false;
  #stray = "";
  /** The packet in work, and the run of its bytes that goes out untouched. */
  #packet: Buffer = Buffer.alloc(0);
  #runStart = 0;
  #runEnd = 0;
  #pieces: Uint8Array[] = [];
  #hasContent = false;
  #now = 0;
  #mayHoldSecret = false;

  constructor(input: AttemptInput, out: ClientStream, onGap: (ms: number) => void, gate: CreditGate | null = null) {
    super(input);
    this.#out = out;
    this.#onGap = onGap;
    this.#gate = gate;
    input.meter.deliveredOutput = 0;
    this.#template = new EventTemplate(input.provider.textKeys);
    this.#scanner = new SseScanner(this, { eventBytesMax: input.upstream.eventBytesMax });
    this.#publicModel = input.wire.model === input.request.model ? null : Buffer.from(JSON.stringify(input.request.model));
  }

  protected onSuccess(headers: AnswerHeaders): void {
    const type = headers["content-type"];
    if (type !== undefined && !/^\s*text\/event-stream\s*(;|$)/i.test(type)) this.collectError();
  }

  protected describeWrong(status: number): string {
    return `answered ${status} without an event stream`;
  }

  protected onBody(bytes: Buffer, now: number): void {
    this.#packet = bytes;
    this.#runStart = this.#runEnd = 0;
    this.#now = now;
    this.#mayHoldSecret = this.input.redactor.holdsSecret(bytes);
    const isInBounds = this.#scanner.push(bytes);
    this.#flush();
    if (this.isOver) return;
    if (this.#sawDone) return this.#isUncovered ? this.#wait(() => this.#complete()) : this.#complete();
    if (!isInBounds) this.#break("upstream_failed", `sent an event larger than ${this.input.upstream.eventBytesMax} bytes`);
  }

  onStray(line: Uint8Array): void {
    if (this.#stray.length < STRAY_BYTES_MAX) this.#stray += `${Buffer.from(line).toString("utf8")}\n`;
  }

  onEvent(data: Uint8Array, frame: Uint8Array | null, type: string): void {
    if (this.isOver || this.#sawDone) return;
    const bytes = asBuffer(data);
    if (type === "message" && this.#template.matches(bytes)) return this.#onText(bytes, frame);
    const text = bytes.toString("utf8");
    if (isBlank(text)) return;
    this.clock.event(this.#now);
    if (bytes.length < 64 && text.trim() === "[DONE]") {
      this.#sawDone = true;
      return;
    }
    const event = parse(text);
    if (event === undefined || typeof event !== "object" || event === null) return this.#onMalformed();
    this.#sawEvent = true;
    this.#onFacts(event, this.input.provider.read(event), bytes, frame, type);
  }

  /** An event like the ones before it, with another text. */
  #onText(data: Buffer, frame: Uint8Array | null): void {
    this.clock.event(this.#now);
    this.#onGapOf(this.input.meter.addText(this.#template.textBytes, this.#template.textUnits, this.#now));
    this.#pass(data, frame);
  }

  #onGapOf(gapMs: number | null): void {
    if (gapMs !== null) this.#onGap(gapMs);
  }

  #onMalformed(): void {
    if (this.input.upstream.malformed === "skip") this.#marks.add("malformed_skipped");
    else this.#break("upstream_failed", "sent an event that is not JSON");
  }

  #onFacts(event: object, facts: EventFacts, data: Buffer, frame: Uint8Array | null, type: string): void {
    this.#onGapOf(this.input.meter.add(facts, this.#now));
    if (facts.error !== null) return this.#break("upstream_failed", "reported an error in its stream", facts.error);
    if (type === "error") return this.#break("upstream_failed", "reported an error in its stream");
    const isForeign = type !== "message" && facts.choices.length === 0 && facts.usage === null;
    if (isForeign || (facts.isUsageOnly && this.input.wire.askedForUsage)) return;
    this.#hasContent ||= facts.hasContent;
    if (isForMender(event)) {
      if (isTooManyParts(event, data.length)) return this.#break("upstream_failed", "sent an event of too many parts");
      return this.#passMended(this.#mender.mend(event, data), data, frame);
    }
    if (type === "message") this.#template.learn(data, facts);
    this.#pass(data, frame);
  }

  #pass(data: Buffer, frame: Uint8Array | null): void {
    // An event that began in an earlier packet may hold a secret that no packet holds whole.
    const isCarried = data.buffer !== this.#packet.buffer;
    const mayHoldSecret = this.#mayHoldSecret || (isCarried && this.input.redactor.holdsSecret(data));
    if (this.#publicModel !== null || mayHoldSecret) return this.#passChanged(data);
    if (frame === null) return this.#add(Buffer.from(frameEvent(onOneLine(data))));
    if (frame.buffer !== this.#packet.buffer) return this.#add(Buffer.from(frame));
    const start = frame.byteOffset - this.#packet.byteOffset;
    if (start !== this.#runEnd) {
      this.#closeRun();
      this.#runStart = start;
    }
    this.#runEnd = start + frame.length;
  }

  #passMended(mended: Buffer | null, data: Buffer, frame: Uint8Array | null): void {
    if (mended === null) return this.#pass(data, frame);
    this.#marks.add("mended");
    this.#passChanged(mended);
  }

  #passChanged(data: Buffer): void {
    let changed: Buffer = data;
    const place = this.#publicModel === null ? null : findMember(changed, "model");
    if (place !== null && this.#publicModel !== null)
      changed = Buffer.concat([changed.subarray(0, place.start), this.#publicModel, changed.subarray(place.end)]);
    const clean = this.input.redactor.clean(changed);
    if (clean !== changed) this.#marks.add("redacted");
    this.#add(Buffer.from(frameEvent(onOneLine(clean))));
  }

  #add(piece: Uint8Array): void {
    this.#closeRun();
    this.#pieces.push(piece);
  }

  #closeRun(): void {
    if (this.#runEnd > this.#runStart) this.#pieces.push(this.#packet.subarray(this.#runStart, this.#runEnd));
    this.#runStart = this.#runEnd = 0;
  }

  /** One write per packet. Until there is content, events are only held. */
  #flush(): void {
    this.#closeRun();
    const pieces = this.#pieces;
    if (pieces.length === 0) return;
    if (!this.isDraining && this.#hasContent && this.#gate?.covers(this.input.meter) === false) return this.pause("credit");
    this.#pieces = [];
    if (this.isDraining) return;
    if (this.#hasContent) {
      if (!this.#send(pieces)) this.pause();
    } else if (!this.#out.hold(pieces)) this.#break("upstream_failed", "sent too many events without content");
  }

  /** False when the client reads too slowly. */
  #send(pieces: readonly Uint8Array[]): boolean {
    this.input.meter.deliveredOutput = this.input.meter.estimatedOutput;
    return this.#out.send(pieces, this.#now);
  }

  /** Pieces wait for money to be set aside. */
  get #isUncovered(): boolean {
    return this.#pieces.length > 0 && this.#hasContent && this.#gate !== null && !this.isDraining;
  }

  /** What comes first decides: after `[DONE]` neither an end nor a failure of the body says anything. */
  #wait(next: () => void): void {
    this.#whenCovered ??= next;
  }

  protected override get isWaiting(): boolean {
    return this.#whenCovered !== null;
  }

  override drain(forMs: number, bytesMax: number): void {
    super.drain(forMs, bytesMax);
    // Nobody waits for the pieces any more.
    this.onCovered();
  }

  /** More may leave than before. */
  onCovered(): void {
    if (this.isOver) return;
    this.#flush();
    if (this.#isUncovered) return;
    this.resume("credit");
    const next = this.#whenCovered;
    this.#whenCovered = null;
    next?.();
  }

  protected onBodyEnd(): void {
    if (this.#isUncovered) return this.#wait(() => this.onBodyEnd());
    if (this.input.meter.isFinished(this.input.request.choices)) {
      // Nothing that belongs to the answer can be missing, so the last event counts without its blank line.
      this.onBody(EVENT_END, performance.now());
      if (this.isOver) return;
    }
    const { incompleteTail } = this.#scanner.end();
    const isWhole = !incompleteTail && this.input.meter.isFinished(this.input.request.choices);
    if (isWhole) {
      this.#marks.add("missing_done");
      return this.finish({ kind: "complete", marks: [...this.#marks] });
    }
    if (!this.#sawEvent && this.#stray !== "")
      return this.#break("upstream_failed", "sent no events", this.input.provider.failure(this.status ?? 200, this.#stray).error);
    this.#break("upstream_truncated", this.#sawEvent ? "ended its stream without a finish" : "sent no events");
  }

  #complete(): void {
    if (this.input.meter.finished.size === 0) {
      if (!this.#out.hasContent && !this.isDraining) return this.#break("upstream_truncated", "ended its stream without an answer");
      if (this.input.upstream.finish === "required") return this.#break("upstream_truncated", "ended its stream without a finish reason");
      this.#marks.add("missing_finish_reason");
    }
    this.finish({ kind: "complete", marks: [...this.#marks] });
  }

  protected onBreak(code: ErrorCode, detail: string): void {
    this.#break(code, detail);
  }

  /** What is wrong, in two meanings: before content the next upstream may try, after it the stream is broken. */
  #break(code: ErrorCode, detail: string, error: UpstreamError | null = null): void {
    // The answer is whole already, and waits for money alone.
    if (this.isOver || (this.#sawDone && this.isWaiting)) return;
    this.#flushBeforeBreak();
    const note = error === null ? null : this.input.redactor.labelOf(error);
    if (this.#out.hasContent || this.isDraining) return this.finish({ kind: "broken", code, detail, note });
    this.#out.dropHeld();
    const isLate = code === "upstream_stalled" || code === "upstream_timeout";
    this.fail(isLate ? "timeout" : "failed", detail, { error: error === null ? null : this.input.redactor.cleanError(error) });
  }

  /** Whole events that came in the same packet as the break still belong to the client, if any had content. */
  #flushBeforeBreak(): void {
    this.#closeRun();
    const pieces = this.#pieces;
    this.#pieces = [];
    const isCovered = this.#gate?.covers(this.input.meter) !== false;
    if (pieces.length > 0 && this.#hasContent && !this.isDraining && isCovered) this.#send(pieces);
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** JSON on one line: many programs read a stream line by line. A line end in valid JSON is white space and no more. */
function onOneLine(json: Buffer): Buffer {
  return json.includes(0x0a) ? Buffer.from(json.toString("latin1").replaceAll("\n", " "), "latin1") : json;
}

function isBlank(text: string): boolean {
  return text.length < 256 && text.trim() === "";
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
