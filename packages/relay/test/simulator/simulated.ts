import { afterEach } from "vitest";

import { parseFaultSpec } from "../../src/simulator/fault-spec.ts";
import type { Fault } from "../../src/simulator/fault.ts";
import { startSimulator } from "../../src/simulator/simulator.ts";
import type { Simulator, SimulatorOptions } from "../../src/simulator/simulator.ts";
import { chatRequest, exchangeRaw } from "./raw-client.ts";
import type { RawSight } from "./raw-client.ts";

const running: Simulator[] = [];

afterEach(async () => {
  await Promise.all(running.splice(0).map((simulator) => simulator.close()));
});

/** Starts a simulator that is closed after the test. */
export async function simulated(options: SimulatorOptions = {}): Promise<Simulator> {
  const simulator = await startSimulator(options);
  running.push(simulator);
  return simulator;
}

/** Starts a simulator of which every answer has the fault of this text. */
export async function withFault(spec: string, options: SimulatorOptions = {}): Promise<Simulator> {
  return simulated({ ...options, scenario: { ...options.scenario, fault: fault(spec) } });
}

export function fault(spec: string): Fault {
  const result = parseFaultSpec(spec);
  if ("error" in result) throw new Error(result.error);
  return result.ok.fault;
}

/** What a raw client sees of an answer with this fault; by default it asks for a stream. */
export async function sightOf(spec: string, request: string = chatRequest({ stream: true }), waitMs = 250): Promise<RawSight> {
  return exchangeRaw((await withFault(spec)).port, request, waitMs);
}

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

export async function post(simulator: Simulator, endpoint: string, body: object): Promise<Reply> {
  const response = await fetch(`${simulator.url}/${endpoint}`, {
    method: "POST",
    redirect: "manual",
    headers: { "content-type": "application/json", authorization: "Bearer sk-secret-1234" },
    body: JSON.stringify({ model: "m", ...body }),
    signal: AbortSignal.timeout(5000),
  });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

const MESSAGES = [{ role: "user", content: "what is a mill race?" }];

export async function chat(simulator: Simulator, body: object = {}): Promise<Reply> {
  return post(simulator, "chat/completions", { messages: MESSAGES, ...body });
}

export interface Chunk {
  readonly id: string;
  readonly object: string;
  readonly created: number;
  readonly model: string;
  readonly choices: readonly {
    readonly index: number;
    readonly finish_reason: string | null;
    readonly text?: string;
    readonly delta: {
      readonly role?: string;
      readonly content?: string | null;
      readonly reasoning_content?: string | null;
      readonly tool_calls?: readonly {
        readonly index: number;
        readonly id?: string;
        readonly function: { readonly name?: string; readonly arguments: string };
      }[];
    };
  }[];
  readonly usage?: Readonly<Record<string, unknown>> | null;
  readonly x_groq?: { readonly usage: object };
}

/** The data of each event of a stream in plain framing. */
export function dataOf(text: string): readonly string[] {
  return text
    .split("\n\n")
    .filter((block) => block.startsWith("data: "))
    .map((block) => block.slice(6));
}

export function chunksOf(text: string): readonly Chunk[] {
  return dataOf(text)
    .filter((data) => data !== "[DONE]")
    .map((data) => JSON.parse(data) as Chunk);
}

export function contentOf(chunks: readonly Chunk[], choice = 0): string {
  return chunks
    .flatMap((chunk) => chunk.choices)
    .filter((said) => said.index === choice)
    .map((said) => said.delta.content ?? "")
    .join("");
}
