/** Reads one upstream's event stream and passes whole events on, as they came, reading beside them. */
import type { ErrorCode } from "@millrace/wire/error-codes";
import { SseScanner } from "@millrace/wire/sse";
import type { SseHandler } from "@millrace/wire/sse";
import type { Upstream } from "../config/config.ts";
import type { Mark } from "../insight/row.ts";
import type { ClientRequest, EventFacts, Provider, UpstreamError, WireRequest } from "../provider/provider.ts";
import type { AnswerHeaders } from "../upstream/dialer.ts";
import type { BodyReader, ReaderHost } from "./body-reader.ts";
import type { CreditGate } from "./credit-gate.ts";
import type { StreamDelivery } from "./delivery.ts";
import { EventPipe } from "./event-pipe.ts";
import { isForRepair, isTooManyParts } from "./event-repair.ts";
import { EventTemplate } from "./event-template.ts";
import { eventTransforms, publicModelOf } from "./event-transforms.ts";
import { Meter } from "./meter.ts";
import type { Redactor } from "./redact.ts";

/** After this many characters the reader takes no further line that is no event. Some upstreams send a bare JSON error instead of events. */
const STRAY_LENGTH_MAX = 4096;
/** Ends a line and an event. */
const EVENT_END = Buffer.from("\n\n");

export interface StreamReaderSettings {
  readonly upstream: Upstream;
  readonly provider: Provider;
  readonly request: ClientRequest;
  readonly wire: WireRequest;
  readonly redactor: Redactor;
  readonly delivery: StreamDelivery;
  /** Asks whether what is read is paid for; null when all of it is. */
  readonly gate: CreditGate | null;
  /** Told of the time between two events with content, in milliseconds. */
  readonly onGap: (ms: number) => void;
}

export class StreamReader implements BodyReader, SseHandler {
  readonly expected = "an event stream";
  readonly meter = new Meter(0);
  readonly #host: ReaderHost;
  readonly #settings: StreamReaderSettings;
  readonly #scanner: SseScanner;
  readonly #template: EventTemplate;
  readonly #pipe: EventPipe;
  readonly #marks = new Set<Mark>();
  /** What is to be done when the events that wait for money have left. */
  #whenCovered: (() => void) | null = null;
  #sawDone = false;
  #sawEvent = false;
  #hasContent = false;
  #stray = "";
  /** When the packet in work came, in milliseconds of the monotonic clock. */
  #now = 0;

  constructor(host: ReaderHost, settings: StreamReaderSettings) {
    const { provider, upstream, request, wire, redactor } = settings;
    this.#host = host;
    this.#settings = settings;
    this.#template = new EventTemplate(provider.textKeys);
    this.#scanner = new SseScanner(this, { eventBytesMax: upstream.eventBytesMax });
    this.#pipe = new EventPipe(eventTransforms(publicModelOf(request.model, wire.model), redactor, (mark) => this.#marks.add(mark)));
  }

  accepts(headers: AnswerHeaders): boolean {
    const type = headers["content-type"];
    return type === undefined || /^\s*text\/event-stream\s*(;|$)/i.test(type);
  }

  push(bytes: Buffer, now: number): void {
    this.#now = now;
    this.#pipe.startPacket(bytes);
    const isInBounds = this.#scanner.push(bytes);
    this.#flush();
    if (this.#host.isOver) return;
    if (this.#sawDone) return this.#isUncovered ? this.#wait(() => this.#complete()) : this.#complete();
    if (!isInBounds) this.cut("upstream_failed", `sent an event larger than ${this.#settings.upstream.eventBytesMax} bytes`);
  }

  onStray(line: Uint8Array): void {
    if (this.#stray.length < STRAY_LENGTH_MAX) this.#stray += `${Buffer.from(line).toString("utf8")}\n`;
  }

  onEvent(data: Uint8Array, frame: Uint8Array | null, type: string): void {
    if (this.#host.isOver || this.#sawDone) return;
    const bytes = asBuffer(data);
    if (type === "message" && this.#template.matches(bytes)) return this.#onText(bytes, frame);
    const text = bytes.toString("utf8");
    if (isBlank(text)) return;
    this.#host.onEvent(this.#now);
    if (bytes.length < 64 && text.trim() === "[DONE]") {
      this.#sawDone = true;
      return;
    }
    const value = parse(text);
    if (typeof value !== "object" || value === null) return this.#onMalformed();
    this.#sawEvent = true;
    this.#onValue(value, bytes, frame, type);
  }

  /** An event like the ones before it, with another text. */
  #onText(data: Buffer, frame: Uint8Array | null): void {
    this.#host.onEvent(this.#now);
    this.#onGapOf(this.meter.addText(this.#template.textBytes, this.#template.textUnits, this.#now));
    this.#pipe.push({ data, value: null }, frame);
  }

  #onGapOf(gapMs: number | null): void {
    if (gapMs !== null) this.#settings.onGap(gapMs);
  }

  #onMalformed(): void {
    if (this.#settings.upstream.malformed === "skip") this.#marks.add("malformed_skipped");
    else this.cut("upstream_failed", "sent an event that is not JSON");
  }

  #onValue(value: object, data: Buffer, frame: Uint8Array | null, type: string): void {
    const facts = this.#settings.provider.read(value);
    this.#onGapOf(this.meter.add(facts, this.#now));
    if (facts.error !== null || type === "error") return this.#break("upstream_failed", "reported an error in its stream", facts.error);
    if (this.#isWithheld(facts, type)) return;
    this.#hasContent ||= facts.hasContent;
    const mayNeedRepair = isForRepair(value);
    if (mayNeedRepair && isTooManyParts(value, data.length)) return this.cut("upstream_failed", "sent an event of too many parts");
    if (!mayNeedRepair && type === "message") this.#template.learn(data, facts);
    this.#pipe.push({ data, value }, frame);
  }

  /** Events of other types without a meaning for clients, and the usage that the relay alone asked for. */
  #isWithheld(facts: EventFacts, type: string): boolean {
    const isForeign = type !== "message" && facts.choices.length === 0 && facts.usage === null;
    return isForeign || (facts.isUsageOnly && this.#settings.wire.askedForUsage);
  }

  /** One write per packet. Until there is content, events are only held. */
  #flush(): void {
    if (this.#pipe.pieces.length === 0) return;
    if (!this.#host.isDraining && this.#hasContent && this.#settings.gate?.covers(this.meter) === false) return this.#host.pause("credit");
    const pieces = this.#pipe.take();
    if (this.#host.isDraining) return;
    if (this.#hasContent) {
      if (!this.#send(pieces)) this.#host.pause("client");
    } else if (!this.#settings.delivery.hold(pieces)) this.cut("upstream_failed", "sent too many events without content");
  }

  /** False when the client reads too slowly. */
  #send(pieces: readonly Uint8Array[]): boolean {
    const isFlowing = this.#settings.delivery.append(pieces, this.#now);
    this.meter.deliveredOutput = this.meter.estimatedOutput;
    return isFlowing;
  }

  /** Events wait for money to be set aside. */
  get #isUncovered(): boolean {
    return this.#pipe.pieces.length > 0 && this.#hasContent && this.#settings.gate !== null && !this.#host.isDraining;
  }

  /** What comes first decides: after `[DONE]` neither an end nor a failure of the body says anything. */
  #wait(next: () => void): void {
    this.#whenCovered ??= next;
  }

  get isWaiting(): boolean {
    return this.#whenCovered !== null;
  }

  onCovered(): void {
    if (this.#host.isOver) return;
    this.#flush();
    if (this.#isUncovered) return;
    this.#host.resume("credit");
    const next = this.#whenCovered;
    this.#whenCovered = null;
    next?.();
  }

  end(): void {
    if (this.#isUncovered) return this.#wait(() => this.end());
    const { choices } = this.#settings.request;
    if (this.meter.isFinished(choices)) {
      // Nothing that belongs to the answer can be missing, so the last event counts without its blank line.
      this.push(EVENT_END, performance.now());
      if (this.#host.isOver) return;
    }
    const { incompleteTail } = this.#scanner.end();
    if (incompleteTail || !this.meter.isFinished(choices)) return this.#endUnfinished();
    this.#marks.add("missing_done");
    this.#host.finish({ kind: "complete", marks: [...this.#marks], rest: null });
  }

  #endUnfinished(): void {
    if (this.#sawEvent) return this.cut("upstream_truncated", "ended its stream without a finish");
    if (this.#stray === "") return this.cut("upstream_truncated", "sent no events");
    this.#break("upstream_failed", "sent no events", this.#settings.provider.failure(200, this.#stray).error);
  }

  #complete(): void {
    if (this.meter.finished.size === 0) {
      if (!this.#settings.delivery.isCommitted && !this.#host.isDraining)
        return this.cut("upstream_truncated", "ended its stream without an answer");
      if (this.#settings.upstream.finish === "required") return this.cut("upstream_truncated", "ended its stream without a finish reason");
      this.#marks.add("missing_finish_reason");
    }
    this.#host.finish({ kind: "complete", marks: [...this.#marks], rest: null });
  }

  cut(code: ErrorCode, detail: string): void {
    this.#break(code, detail, null);
  }

  /** What is wrong has two meanings: before content the next upstream may try, after it the stream is broken. */
  #break(code: ErrorCode, detail: string, error: UpstreamError | null): void {
    // The answer is whole already, and waits for money alone.
    if (this.#host.isOver || (this.#sawDone && this.isWaiting)) return;
    this.#flushBeforeBreak();
    const { delivery, redactor } = this.#settings;
    if (delivery.isCommitted || this.#host.isDraining) {
      const note = error === null ? null : redactor.labelOf(error);
      return this.#host.finish({ kind: "broken", code, detail, note });
    }
    delivery.drop();
    const isLate = code === "upstream_stalled" || code === "upstream_timeout";
    this.#host.fail(isLate ? "timeout" : "failed", detail, error);
  }

  /** Whole events that came in the same packet as the break still belong to the client, if any had content. */
  #flushBeforeBreak(): void {
    const pieces = this.#pipe.take();
    const isCovered = this.#settings.gate?.covers(this.meter) !== false;
    if (pieces.length > 0 && this.#hasContent && !this.#host.isDraining && isCovered) this.#send(pieces);
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
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
