import { gunzipSync } from "node:zlib";

import { expect, test } from "vitest";

import { bodyOf, chatRequest, exchangeRaw } from "./raw-client.ts";
import { chat, chunksOf, fault, sightOf, simulated, withFault } from "./simulated.ts";

const STREAM = chatRequest({ stream: true });
const PLAIN = chatRequest({});

test("a refused connection is reset before any byte", async () => {
  const simulator = await simulated({ faults: [{ fault: fault("refuse"), share: 1 }] });
  expect(await exchangeRaw(simulator.port, STREAM)).toMatchObject({ text: "", end: "rst" });
  expect(simulator.counts).toMatchObject({ refused: 1, requests: 0 });
  expect(await sightOf("refuse")).toMatchObject({ text: "", end: "rst" });
});

test("a hang reads the request and says nothing; the other hang sends headers only", async () => {
  const simulator = await withFault("hang");
  expect(await exchangeRaw(simulator.port, STREAM, 250)).toMatchObject({ text: "", end: "open" });
  expect(simulator.seen[0]?.bodyText).toContain("hello");
  for (const request of [STREAM, PLAIN]) {
    const headers = await sightOf("hang-headers", request);
    expect(headers.text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(headers.text).toMatch(/\r\n\r\n$/);
    expect(headers.end).toBe("open");
  }
});

test("a stall leaves the stream open after so many events", async () => {
  const seen = await sightOf("stall=3");
  expect(chunksOf(bodyOf(seen).text)).toHaveLength(3);
  expect(seen.end).toBe("open");
});

test.each(["cut", "rst"])("%s ends the connection after exactly so many body bytes, unterminated", async (kind) => {
  for (const bytes of [0, 1, 700]) {
    const seen = await sightOf(`${kind}=${bytes}`);
    expect(seen.end).toBe(kind === "cut" ? "fin" : "rst");
    expect(bodyOf(seen)).toMatchObject({ isTerminated: false });
    expect(bodyOf(seen).text).toHaveLength(bytes);
  }
  const plain = await sightOf(`${kind}=20`, PLAIN);
  expect(plain.text.split("\r\n\r\n")[1]).toHaveLength(20);
});

test("a short length promises more than it sends", async () => {
  const seen = await sightOf("short-length=50", PLAIN);
  const body = seen.text.split("\r\n\r\n")[1] ?? "";
  expect(Number(/content-length: (\d+)/.exec(seen.text)?.[1])).toBe(body.length + 50);
  expect(seen.end).toBe("fin");
});

test("a close-delimited body has no length and may be cut without showing it", async () => {
  for (const [spec, done] of [
    ["close-delimited", true],
    ["close-delimited=900", false],
  ] as const) {
    const seen = await sightOf(spec);
    expect(seen.text).not.toMatch(/content-length|transfer-encoding/i);
    expect(seen.end).toBe("fin");
    expect(seen.text.endsWith("data: [DONE]\n\n")).toBe(done);
    const reply = await chat(await withFault(spec), { stream: true });
    expect(reply.status).toBe(200);
  }
});

test("garbage, bare line feeds, two lengths and an unasked 101 are what they say", async () => {
  expect((await sightOf("garbage")).text).not.toContain("HTTP/1");
  expect((await sightOf("bare-lf")).text).toMatch(/^HTTP\/1\.1 200 OK\n[^\r]*data: /);
  expect((await sightOf("cl-and-te")).text).toMatch(/Content-Length: \d+\r\nTransfer-Encoding: chunked\r\n\r\n/);
  expect((await sightOf("101")).text).toMatch(/^HTTP\/1\.1 101 /);
  for (const spec of ["garbage", "bare-lf", "cl-and-te"]) await expect(chat(await withFault(spec))).rejects.toThrow();
});

test("interim answers come before the good one", async () => {
  expect((await sightOf("early-hints")).text).toMatch(/^HTTP\/1\.1 103 [^]*\r\n\r\nHTTP\/1\.1 200 OK/);
  expect((await sightOf("100-then-103")).text).toMatch(/^HTTP\/1\.1 100 [^]*HTTP\/1\.1 103 [^]*HTTP\/1\.1 200 OK/);
});

test("a compressed answer and a bomb come although identity was asked", async () => {
  const body = async (spec: string): Promise<Buffer> => {
    const seen = await sightOf(spec, chatRequest({ stream: true }, { "accept-encoding": "identity", connection: "close" }), 3000);
    expect(seen.text).toContain("content-encoding: gzip");
    return seen.bytes.subarray(seen.text.indexOf("\r\n\r\n") + 4);
  };
  const simulator = await withFault("gzip");
  expect((await chat(simulator, { stream: true })).text).toContain("data: [DONE]");
  expect(gunzipSync(await body("gzip")).toString()).toContain("data: [DONE]");
  const bomb = await body("gzip-bomb");
  expect(bomb.length).toBeLessThan(500_000);
  expect(gunzipSync(bomb)).toHaveLength(100_000_000);
}, 15_000);

test("a drip sends one byte at a time", async () => {
  const simulator = await withFault("drip=20ms");
  const seen = await exchangeRaw(simulator.port, STREAM, 200);
  expect(bodyOf(seen).text.length).toBeGreaterThan(2);
  expect(bodyOf(seen).text.length).toBeLessThan(12);
  expect(seen.text).toContain("\r\n1\r\nd\r\n1\r\na\r\n");
});

test("tiny chunks are one byte each and at least as many as asked", async () => {
  const seen = await sightOf("tiny-chunks", chatRequest({ stream: true }, { connection: "close" }), 3000);
  expect(seen.text.split("\r\n1\r\n").length).toBeGreaterThan(20_000);
  for (const body of [{ stream: true }, {}]) {
    const reply = await chat(await withFault("tiny-chunks=300"), body);
    expect(reply.text.length).toBeGreaterThan(300);
    expect(reply.text).toMatch(body.stream === true ? /\[DONE\]\n\n$/ : /}$/);
  }
});

test("a big header is as big as asked", async () => {
  expect((await sightOf("big-header")).text).toContain(`x-big: ${"b".repeat(40_960)}\r\n`);
  await expect(chat(await withFault("big-header"))).rejects.toThrow();
});

test("endless lines and streams go on until the client has enough", async () => {
  for (const [spec, body] of [
    ["endless-line", { stream: true }],
    ["endless-stream", { stream: true }],
    ["endless-line", {}],
  ] as const) {
    const simulator = await withFault(spec);
    const seen = await exchangeRaw(simulator.port, chatRequest(body), 300);
    expect(seen.bytes.length).toBeGreaterThan(100_000);
    expect(seen.end).toBe("open");
    const start = bodyOf({ ...seen, text: seen.text.slice(0, 50_000) }).text;
    if (spec === "endless-line") expect(seen.bytes.subarray(-50_000).includes("\n\n")).toBe(false);
    else expect(start.match(/\n\ndata: {"id"/g)?.length).toBeGreaterThan(50);
  }
});

test("extra bytes follow the good answer on the same connection, at once or while idle", async () => {
  for (const when of ["same-tick", "idle"]) {
    const simulator = await withFault(`extra-bytes=${when}`);
    const soon = await exchangeRaw(simulator.port, PLAIN, 30);
    if (when === "idle") expect(soon.text).not.toContain('{"forged":true}');
    const later = await exchangeRaw(simulator.port, PLAIN, 400);
    expect(later.text).toMatch(/"object":"chat.completion"[^]*HTTP\/1\.1 200 OK[^]*{"forged":true}$/);
  }
});

test("a kept-alive connection closes after the answer, or under the next request", async () => {
  const after = await sightOf("close-idle", PLAIN);
  expect(after.text).toContain("chat.completion");
  expect(after.end).toBe("fin");
  const simulator = await withFault("close-idle=reuse");
  const twice = await exchangeRaw(simulator.port, PLAIN + PLAIN, 1000);
  expect(twice.text.match(/HTTP\/1\.1/g)).toHaveLength(1);
  expect(twice.end).toBe("rst");
  expect(simulator.counts.requests).toBe(2);
});

test("a share of the connections is refused, the same ones for the same seed", async () => {
  const run = async (): Promise<string> => {
    const simulator = await simulated({ seed: 5, faults: [{ fault: fault("refuse"), share: 0.5 }] });
    let ends = "";
    for (let count = 0; count < 24; count += 1) {
      const seen = await exchangeRaw(simulator.port, chatRequest({}, { connection: "close" }), 2000);
      ends += seen.text === "" ? "r" : ".";
    }
    return ends;
  };
  const first = await run();
  expect(first).toMatch(/r/);
  expect(first).toMatch(/\./);
  expect(await run()).toBe(first);
});

test("a body shorter than the cut ends whole", async () => {
  expect((await chat(await withFault("cut=1mb"), { stream: true })).text).toMatch(/\[DONE\]\n\n$/);
});
