import { createParser } from "eventsource-parser";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { SseHandler } from "@millrace/wire/sse";
import { DONE_FRAME, frameEvent, KEEP_ALIVE, SseScanner } from "@millrace/wire/sse";
import { SseReader } from "@millrace/wire/sse-reader";
import { bytesOf, cutAt, cutByFractions, cutEvery, cuts, textOf } from "./pieces.ts";

interface Heard {
  readonly kind: "event" | "comment" | "retry" | "stray";
  readonly text: string;
  readonly frame?: string | null;
  readonly type?: string;
  readonly id?: string;
}

function listen(): { readonly heard: Heard[]; readonly handler: SseHandler } {
  const heard: Heard[] = [];
  return {
    heard,
    handler: {
      onEvent(data, frame, type, id) {
        heard.push({
          kind: "event",
          text: textOf(data),
          frame: frame === null ? null : textOf(frame),
          type,
          id,
        });
      },
      onComment: (text) => void heard.push({ kind: "comment", text: textOf(text) }),
      onRetry: (ms) => void heard.push({ kind: "retry", text: String(ms) }),
      onStray: (line) => void heard.push({ kind: "stray", text: textOf(line) }),
    },
  };
}

function scan(pieces: readonly Uint8Array[], eventBytesMax = 1024 * 1024) {
  const { heard, handler } = listen();
  const scanner = new SseScanner(handler, { eventBytesMax });
  const fits = pieces.map((piece) => scanner.push(piece)).every(Boolean);
  const { incompleteTail, tail } = scanner.end();
  return { heard, fits, incompleteTail, tail: textOf(tail), lastEventId: scanner.lastEventId };
}

function scanText(text: string) {
  return scan([bytesOf(text)]);
}

function framesOf(text: string): (string | null | undefined)[] {
  return scanText(text)
    .heard.filter((each) => each.kind === "event")
    .map((each) => each.frame);
}

/** Fragments that the grammar treats differently; joined at random they hit most of its corners. */
const fragment = fc.constantFrom(
  ..."data|data:|data: |data:  |event|event:|event: |id|id:|id: |retry:|retry: |retry: 5|: ka|:|:data: x".split("|"),
  ...'x|\u2028|\u{1f600}|é|7|12|0| |:|d|da|dat|Data: |\u0000|\ufeff|[DONE]|{"a":1}|foo: bar|unknown'.split("|"),
  "\n",
  "\n",
  "\n",
  "\n\n",
  "\r",
  "\r\n",
  "\r\r",
  "\r\n\r\n",
  "\n\r",
  "data: x\n\n",
  "data: y\n",
);
const stream = fc
  .tuple(fc.constantFrom("", "", "\ufeff", "\ufeff\ufeff"), fc.array(fragment, { maxLength: 40 }))
  .map(([start, fragments]) => start + fragments.join(""));

/** What the reference parser makes of it. It reports ids per event, so the standard's carrying over is added. */
function reference(pieces: readonly Uint8Array[]) {
  const heard: { kind: string; text: string; type?: string; id?: string }[] = [];
  let lastEventId = "";
  const parser = createParser({
    onId: (id) => void (lastEventId = id),
    onEvent: ({ data, event }) => void heard.push({ kind: "event", text: data, type: event ?? "message", id: lastEventId }),
    onComment: (text) => void heard.push({ kind: "comment", text }),
    onRetry: (ms) => void heard.push({ kind: "retry", text: String(ms) }),
  });
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  for (const piece of pieces) parser.feed(decoder.decode(piece, { stream: true }));
  parser.feed(decoder.decode());
  return { heard, lastEventId };
}

describe("the scanner", () => {
  it("agrees with eventsource-parser on any stream under any cut", () => {
    fc.assert(
      fc.property(stream, cuts, (text, fractions) => {
        const pieces = cutByFractions(bytesOf(text), fractions);
        const { heard, lastEventId } = scan(pieces);
        const comparable = heard.filter((each) => each.kind !== "stray").map(({ frame: _frame, ...rest }) => rest);
        expect({ heard: comparable, lastEventId }).toEqual(reference(pieces));
      }),
      { numRuns: 20_000 },
    );
  });

  it("says the same however a stream is cut, at every byte and at all of them", () => {
    fc.assert(
      fc.property(stream, (text) => {
        const bytes = bytesOf(text);
        const whole = scan([bytes]);
        expect(scan(cutEvery(bytes, 1))).toEqual(whole);
        for (let at = 0; at <= bytes.length; at += 1) expect(scan(cutAt(bytes, [at]))).toEqual(whole);
      }),
      { numRuns: 400 },
    );
  });

  it("gives up at the same events however a stream is cut", () => {
    fc.assert(
      fc.property(stream, cuts, fc.integer({ min: 1, max: 30 }), (text, fractions, max) => {
        const bytes = bytesOf(text);
        const whole = scan([bytes], max);
        const pieces = scan(cutByFractions(bytes, fractions), max);
        expect(pieces).toEqual(whole);
      }),
      { numRuns: 3000 },
    );
  });

  it("gives a canonical stream back byte for byte under any cut", () => {
    const line = fc.string({ unit: "binary" }).map((text) => text.replace(/[\r\n\ud800-\udfff]/g, "."));
    fc.assert(
      fc.property(fc.array(line, { maxLength: 12 }), cuts, (lines, fractions) => {
        const text = lines.map((each) => `data: ${each}\n\n`).join("");
        const { heard } = scan(cutByFractions(bytesOf(text), fractions));
        expect(heard.map((each) => each.frame).join("")).toBe(text);
      }),
      { numRuns: 1000 },
    );
  });

  it("reads back any data that was framed", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (raw) => {
        const data = raw.replace(/[\r\ud800-\udfff]/g, "\n");
        const { heard } = scan([frameEvent(bytesOf(data))]);
        expect(heard.map((each) => each.text)).toEqual([data]);
        expect(heard[0]?.frame === null).toBe(data.includes("\n"));
      }),
    );
  });

  it.each([
    ["no space after the colon", "data:x\n\n"],
    ["CRLF", "data: x\r\n\r\n"],
    ["CR", "data: x\r\r"],
    ["a CR for the blank line only", "data: x\n\r"],
    ["CRLF for the data line only", "data: x\r\n\n"],
    ["CRLF for the blank line only", "data: x\n\r\n"],
    ["two data lines", "data: x\ndata: y\n\n"],
    ["an id before", "id: 1\ndata: x\n\n"],
    ["an id after", "data: x\nid: 1\n\n"],
    ["a name", "event: a\ndata: x\n\n"],
    ["a retry", "retry: 1\ndata: x\n\n"],
    ["an unknown field", "data: x\nfoo\n\n"],
    ["a field without colon", "data\n\n"],
  ])("an event with %s has no canonical frame", (_what, text) => {
    expect(framesOf(text)).toEqual([null]);
    expect(framesOf(`data: a\n\n${text}data: b\n\n`)).toEqual(["data: a\n\n", null, "data: b\n\n"]);
  });

  it("leaves comments out of an event, and the event canonical", () => {
    expect(framesOf(": a\ndata: x\n\n")).toEqual(["data: x\n\n"]);
    expect(framesOf("data: x\n: a\n\n")).toEqual(["data: x\n\n"]);
  });

  it("hands on the piece's own bytes when an event lies whole in a piece", () => {
    const piece = bytesOf("data: one\n\nevent: a\ndata: two\n\n");
    const buffers: unknown[] = [];
    new SseScanner({
      onEvent: (data, frame) => void buffers.push(data.buffer, frame?.buffer),
    }).push(piece);
    expect(buffers).toEqual([piece.buffer, piece.buffer, piece.buffer, undefined]);
    expect(buffers[0]).toBe(piece.buffer);
  });

  it("keeps bad UTF-8 as bytes, and the reader shows it as replacement characters", () => {
    const piece = new Uint8Array([...bytesOf("data: a"), 0xc3, ...bytesOf("\n\n")]);
    const seen: number[][] = [];
    new SseScanner({ onEvent: (data) => void seen.push([...data]) }).push(piece);
    expect(seen).toEqual([[0x61, 0xc3]]);
    expect(new SseReader().push(piece).map((event) => event.data)).toEqual(["a\ufffd"]);
  });

  it("tells stray lines, and the bare document of a body that has no line end", () => {
    expect(scanText('{"error":1}\n').heard).toEqual([{ kind: "stray", text: '{"error":1}' }]);
    const { tail, incompleteTail } = scanText('data: a\n\n{"error":1}');
    expect({ tail, incompleteTail }).toEqual({ tail: '{"error":1}', incompleteTail: true });
  });

  it("writes a keep-alive that is no event and leaves the next one canonical", () => {
    const { heard } = scan([KEEP_ALIVE, DONE_FRAME]);
    expect(heard.map((each) => [each.kind, each.text])).toEqual([
      ["comment", "ka"],
      ["event", "[DONE]"],
    ]);
    expect(heard[1]?.frame).toBe(textOf(DONE_FRAME));
  });
});

describe("the limit of an event", () => {
  it.each(["data: ", ": ", "id: ", "event: ", "x", '{"a":"'])(
    "gives up an endless line that begins with %j and keeps none of it",
    (start) => {
      const piece = new Uint8Array(1024).fill(0x61);
      const scanner = new SseScanner(listen().handler);
      expect(scanner.push(bytesOf(start))).toBe(true);
      const results = Array.from({ length: 8 * 1024 }, () => scanner.push(piece));
      expect(results.indexOf(false)).toBe(1023);
      expect(results.lastIndexOf(true)).toBe(1022);
      expect(scanner.end()).toEqual({ incompleteTail: true, tail: new Uint8Array(0) });
    },
  );

  it("gives up 8 MiB of one line within 100 ms", () => {
    const piece = new Uint8Array(1024).fill(0x61);
    const begun = performance.now();
    const scanner = new SseScanner(listen().handler);
    scanner.push(bytesOf("data: "));
    let isWithin = true;
    for (let i = 0; i < 8 * 1024; i += 1) isWithin = scanner.push(piece);
    expect(isWithin).toBe(false);
    expect(performance.now() - begun).toBeLessThan(100);
  });

  it("takes 8 MiB of one line in time that grows no faster than its length", () => {
    const piece = new Uint8Array(1024).fill(0x61);
    const sizes: number[] = [];
    const scanner = new SseScanner({ onEvent: (data) => void sizes.push(data.length) }, { eventBytesMax: 9 * 1024 * 1024 });
    const begun = performance.now();
    scanner.push(bytesOf("data: "));
    for (let i = 0; i < 8 * 1024; i += 1) scanner.push(piece);
    scanner.push(bytesOf("\n\n"));
    expect(sizes).toEqual([8 * 1024 * 1024]);
    expect(performance.now() - begun).toBeLessThan(500);
  });

  it("keeps no more memory than the limit while it reads, and none afterwards", () => {
    const piece = new Uint8Array(1024).fill(0x61);
    globalThis.gc?.();
    const before = process.memoryUsage().arrayBuffers;
    const scanners = Array.from({ length: 20 }, () => new SseScanner(listen().handler));
    for (const scanner of scanners) for (let i = 0; i < 8 * 1024; i += 1) scanner.push(piece);
    globalThis.gc?.();
    const grown = process.memoryUsage().arrayBuffers - before;
    // Without a forced collection the garbage of growing is still counted: at most twice the limit each.
    expect(grown).toBeLessThan(20 * 2.5 * 1024 * 1024);
    expect(scanners.every((scanner) => !scanner.push(piece))).toBe(true);
  });

  it("counts all lines of an event, but not the comments between them", () => {
    const lines = "data: 1234\n".repeat(9);
    expect(scan([bytesOf(`${lines}\n${lines}\n`)], 99).fits).toBe(true);
    expect(scan([bytesOf(`${lines}\n`)], 98).fits).toBe(false);
    expect(scan([bytesOf(": ka\n".repeat(100))], 99).fits).toBe(true);
    expect(scan([bytesOf("event: a\n".repeat(12))], 99).fits).toBe(false);
  });

  it("holds to the byte, whether the event lies whole in a piece or comes in many", () => {
    for (const text of ["data: 1234\n\n", "data:12345\n\n", "event: 123\n\n", ": 12345678\n", "stray 1234\n"]) {
      for (const size of [1, 3, 100]) {
        const pieces = cutEvery(bytesOf(text), size);
        expect([scan(pieces, 11).fits, scan(pieces, 10).fits], text).toEqual([true, false]);
      }
    }
  });

  it("says nothing more once it has given up", () => {
    const { heard, fits } = scan([bytesOf("data: 123456789\n\n"), bytesOf("data: a\n\n")], 9);
    expect({ heard, fits }).toEqual({ heard: [], fits: false });
  });
});
