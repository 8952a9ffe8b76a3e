import { parseByteCount, parseDurationMs } from "./duration.ts";
import type { ErrorBodyShape, ErrorEventShape, Fault, FaultRule, PlainFaultKind } from "./fault.ts";

export type FaultSpecResult = { readonly ok: FaultRule } | { readonly error: string };

/** Makes a fault from the text after `=` (undefined if there is none). Returns undefined if that text is wrong. */
type Reader = (value: string | undefined) => Fault | undefined;

interface Entry {
  /** What may follow the name, for the message about a wrong spec. */
  readonly form: string;
  readonly read: Reader;
}

/** A record and no list, so that a kind that is missing does not compile. */
const PLAIN_KINDS: Readonly<Record<PlainFaultKind, true>> = {
  refuse: true,
  hang: true,
  "hang-headers": true,
  garbage: true,
  "endless-line": true,
  "endless-stream": true,
  gzip: true,
  "json-instead-of-stream": true,
  blank: true,
  "comments-only": true,
  "role-only": true,
  "done-only": true,
  "blank-lines-only": true,
  "no-done": true,
  "no-finish": true,
  "bare-lf": true,
  "cl-and-te": true,
  "101": true,
  "early-hints": true,
  "100-then-103": true,
  ndjson: true,
  "multi-json-body": true,
  "after-done": true,
  "empty-data": true,
  "id-change": true,
  "bad-utf8": true,
};

const EVENT_SHAPES: readonly ErrorEventShape[] = ["openai", "string", "vllm", "openrouter", "named"];
const BODY_SHAPES: readonly ErrorBodyShape[] = ["openai", "deepseek", "detail", "text", "html", "empty"];
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];
const REDIRECT_DEFAULT = 307;

const ENTRIES: ReadonlyMap<string, Entry> = new Map<string, Entry>([
  ...(Object.keys(PLAIN_KINDS) as PlainFaultKind[]).map((kind): [string, Entry] => [kind, plain(kind)]),
  ["hang-headers-then", plain("hang-headers")],
  ["status", { form: "=CODE[:openai|deepseek|detail|text|html|empty]", read: readStatus }],
  ["stall", { form: "=EVENTS", read: counted((events) => ({ kind: "stall", events })) }],
  ["cut", { form: "=BYTES", read: sized((bytes) => ({ kind: "cut", bytes })) }],
  ["rst", { form: "=BYTES", read: sized((bytes) => ({ kind: "rst", bytes })) }],
  [
    "short-length",
    {
      form: "[=BYTES]",
      read: orBare(
        "short-length",
        sized((missingBytes) => ({ kind: "short-length", missingBytes })),
      ),
    },
  ],
  [
    "close-delimited",
    {
      form: "[=BYTES]",
      read: orBare(
        "close-delimited",
        sized((cutAtBytes) => ({ kind: "close-delimited", cutAtBytes })),
      ),
    },
  ],
  [
    "garbage-event",
    {
      form: "[=EVENTS]",
      read: counted((afterEvents) => ({ kind: "garbage-event", afterEvents }), 1),
    },
  ],
  ["redirect", { form: "=[301|302|303|307|308:]URL", read: readRedirect }],
  [
    "gzip-bomb",
    {
      form: "[=BYTES]",
      read: orBare(
        "gzip-bomb",
        sized((inflatedBytes) => ({ kind: "gzip-bomb", inflatedBytes })),
      ),
    },
  ],
  ["echo", { form: "[=CODE|event]", read: readEcho }],
  ["drip", { form: "=DURATION", read: timed((everyMs) => ({ kind: "drip", everyMs })) }],
  ["error-event", { form: "[=EVENTS][:openai|string|vllm|openrouter|named]", read: readErrorEvent }],
  ["error-first", { form: "[=openai|string|vllm|openrouter|named]", read: readErrorFirst }],
  ["error-200", { form: "[=openai|string]", read: readError200 }],
  ["wrong-type", { form: "[=CONTENT-TYPE]", read: readWrongType }],
  [
    "big-header",
    {
      form: "[=BYTES]",
      read: orBare(
        "big-header",
        sized((bytes) => ({ kind: "big-header", bytes })),
      ),
    },
  ],
  ["extra-bytes", { form: "[=same-tick|idle]", read: readExtraBytes }],
  ["close-idle", { form: "[=after|reuse]", read: readCloseIdle }],
  ["tiny-chunks", { form: "[=COUNT]", read: counted((count) => ({ kind: "tiny-chunks", count }), 20_000) }],
  ["linger", { form: "=DURATION", read: timed((ms) => ({ kind: "linger", ms })) }],
]);

/** The names a spec may start with, each with what may follow it. */
export const FAULT_FORMS: readonly string[] = [...[...ENTRIES].map(([name, entry]) => name + entry.form), "400..599[=RETRY-AFTER]"];

/**
 * Reads `name[=value][@share]`, e.g. `cut=1200@5%`, `429=2s` or `503`. Without a share every request meets the
 * fault. For a wrong spec it returns a sentence that says what is allowed.
 */
export function parseFaultSpec(text: string): FaultSpecResult {
  const match = /^([a-z0-9-]+)(?:=(.*?))?(?:@(\d+(?:\.\d+)?%?))?$/.exec(text.trim());
  const name = match?.[1];
  if (match === null || name === undefined) {
    return {
      error: `"${text}" is not a fault: write name[=value][@share], e.g. cut=1200@5% or 429=2s`,
    };
  }
  const share = readShare(match[3]);
  if (share === undefined) return { error: `the share in "${text}" must be from 0% to 100% (or 0 to 1)` };
  return finish(name, match[2], share, text);
}

function finish(name: string, value: string | undefined, share: number, text: string): FaultSpecResult {
  const number = /^[45]\d\d$/.test(name) ? Number(name) : undefined;
  const entry = number === undefined ? ENTRIES.get(name) : { form: "[=RETRY-AFTER, e.g. 2s]", read: numbered(number) };
  if (entry === undefined) return { error: `no fault is called "${name}"; there are: ${FAULT_FORMS.join(", ")}` };
  const fault = entry.read(value);
  if (fault === undefined) return { error: `"${text}" is wrong: write ${name}${entry.form}` };
  return { ok: { fault, share } };
}

function readShare(text: string | undefined): number | undefined {
  if (text === undefined) return 1;
  const share = text.endsWith("%") ? Number(text.slice(0, -1)) / 100 : Number(text);
  return share >= 0 && share <= 1 ? share : undefined;
}

function plain(kind: PlainFaultKind): Entry {
  return { form: "", read: (value) => (value === undefined ? { kind } : undefined) };
}

function numbered(status: number): Reader {
  return (value) => {
    if (value === undefined) return { kind: "status", status };
    const retryAfterMs = parseDurationMs(value);
    return retryAfterMs === undefined ? undefined : { kind: "status", status, retryAfterMs };
  };
}

function counted(make: (count: number) => Fault, otherwise?: number): Reader {
  return (value) => {
    if (value === undefined) return otherwise === undefined ? undefined : make(otherwise);
    return /^\d{1,9}$/.test(value) ? make(Number(value)) : undefined;
  };
}

function sized(make: (bytes: number) => Fault): Reader {
  return (value) => {
    const bytes = value === undefined ? undefined : parseByteCount(value);
    return bytes === undefined ? undefined : make(bytes);
  };
}

function timed(make: (ms: number) => Fault): Reader {
  return (value) => {
    const ms = value === undefined ? undefined : parseDurationMs(value);
    return ms === undefined ? undefined : make(ms);
  };
}

function orBare(kind: "short-length" | "close-delimited" | "gzip-bomb" | "big-header", read: Reader): Reader {
  return (value) => (value === undefined ? { kind } : read(value));
}

function readStatus(value = ""): Fault | undefined {
  const [code = "", name] = value.split(":", 2);
  if (!/^[45]\d\d$/.test(code)) return undefined;
  if (name === undefined) return { kind: "status", status: Number(code) };
  const shape = BODY_SHAPES.find((known) => known === name);
  return shape === undefined ? undefined : { kind: "status", status: Number(code), shape };
}

function readRedirect(value = ""): Fault | undefined {
  const match = /^(?:(30\d):)?(.+)$/.exec(value);
  const location = match?.[2];
  const status = Number(match?.[1] ?? REDIRECT_DEFAULT);
  if (location === undefined || !REDIRECTS.includes(status)) return undefined;
  return { kind: "redirect", status, location };
}

function readEcho(value?: string): Fault | undefined {
  if (value === undefined) return { kind: "echo" };
  if (value === "event") return { kind: "echo", inEvent: true };
  return /^[45]\d\d$/.test(value) ? { kind: "echo", status: Number(value) } : undefined;
}

function readErrorEvent(value = "1"): Fault | undefined {
  const [count = "", name = "openai"] = value.split(":", 2);
  const shape = EVENT_SHAPES.find((known) => known === name);
  if (shape === undefined || !/^\d{1,9}$/.test(count)) return undefined;
  return { kind: "error-event", afterEvents: Number(count), shape };
}

function readErrorFirst(value = "openai"): Fault | undefined {
  const shape = EVENT_SHAPES.find((known) => known === value);
  return shape === undefined ? undefined : { kind: "error-first", shape };
}

function readError200(value = "openai"): Fault | undefined {
  return value === "openai" || value === "string" ? { kind: "error-200", shape: value } : undefined;
}

function readWrongType(value?: string): Fault | undefined {
  if (value === undefined) return { kind: "wrong-type" };
  return /^[\w.+-]+\/[\w.+-]+(;.*)?$/.test(value) ? { kind: "wrong-type", contentType: value } : undefined;
}

function readExtraBytes(value = "same-tick"): Fault | undefined {
  return value === "same-tick" || value === "idle" ? { kind: "extra-bytes", when: value } : undefined;
}

function readCloseIdle(value = "after"): Fault | undefined {
  return value === "after" || value === "reuse" ? { kind: "close-idle", when: value } : undefined;
}
