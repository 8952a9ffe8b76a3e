import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";

import { errorStack } from "../basics/error-text.ts";
import { watchConnection } from "./connection.ts";
import type { Connection } from "./connection.ts";
import { answer } from "./endpoint.ts";
import type { House } from "./endpoint.ts";
import { echoText } from "./echo.ts";
import type { SimulatedExchange } from "./exchange.ts";
import { drawFault } from "./fault-draw.ts";
import { bodyShape, faultyScenario } from "./fault-shape.ts";
import type { Fault, FaultRule } from "./fault.ts";
import { listen } from "./listen.ts";
import { Outlet } from "./outlet.ts";
import { readBody } from "./request-body.ts";
import { DEFAULT_SCENARIO } from "./scenario.ts";
import type { Scenario } from "./scenario.ts";
import { recordRequest, trimRecord } from "./seen-request.ts";
import type { SeenRecord, SeenRequest } from "./seen-request.ts";

export interface SimulatorOptions {
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** 0 or absent: a random free port from 20000 to 31999. */
  readonly port?: number;
  readonly seed?: number;
  readonly scenario?: Partial<Scenario>;
  /** Faults that POST requests (for `refuse`: connections) meet by chance, drawn from the seed. */
  readonly faults?: readonly FaultRule[];
  /** Changes the scenario for one request; a fault it names wins over the rules. */
  readonly script?: (request: SeenRequest) => Partial<Scenario> | undefined;
  /** When set, every other key gets a 401. */
  readonly apiKey?: string;
  /** When set, every other model gets a 404; else any name is served. */
  readonly models?: readonly string[];
  /** How many requests `seen` keeps (default 1,000, the newest). */
  readonly seenMax?: number;
}

/** Counters since the start; `open...` are of this moment. */
interface SimulatorCounts {
  readonly requests: number;
  readonly connections: number;
  readonly openConnections: number;
  readonly openRequests: number;
  /** Answers that ended as the simulator meant them to. */
  readonly finished: number;
  /** Answers during which the client closed. */
  readonly closedByPeer: number;
  /** Connections reset at accept. */
  readonly refused: number;
  /** Requests that met a fault. */
  readonly faulted: number;
}

export interface Simulator {
  /** Base URL for an OpenAI client: `http://127.0.0.1:PORT/v1`. */
  readonly url: string;
  readonly port: number;
  readonly seen: readonly SeenRequest[];
  readonly counts: SimulatorCounts;
  /** Replaces the scenario for requests that arrive from now on; fields that are left out have their default. */
  setScenario(scenario: Partial<Scenario>): void;
  /** Replaces the fault rules for requests that arrive from now on. */
  setFaults(faults: readonly FaultRule[]): void;
  /** Cuts every connection and stops listening. */
  close(): Promise<void>;
}

interface State {
  readonly seed: number;
  readonly house: House;
  readonly script: SimulatorOptions["script"];
  readonly seen: SeenRecord[];
  readonly seenMax: number;
  readonly connections: Map<Socket, Connection>;
  readonly counts: { -readonly [K in keyof SimulatorCounts]: number };
  scenario: Partial<Scenario>;
  faults: readonly FaultRule[];
}

const SEEN_MAX = 1000;

/** Starts an OpenAI-compatible upstream in this process. */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const state = startState(options);
  const server = createServer((request, response) => {
    serve(state, request, response).catch((error: unknown) => {
      process.emitWarning(`a bug of the simulator: ${errorStack(error)}`);
      response.destroy();
    });
  });
  server.keepAliveTimeout = 0;
  server.requestTimeout = 0;
  server.headersTimeout = 0;
  server.on("connection", (socket) => accept(state, socket));
  const host = options.host ?? "127.0.0.1";
  const port = await listen(server, host, options.port);
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${port}/v1`,
    port,
    seen: state.seen,
    counts: state.counts,
    setScenario: (scenario) => {
      state.scenario = scenario;
    },
    setFaults: (faults) => {
      state.faults = faults;
    },
    close: () => stop(state, server),
  };
}

function startState(options: SimulatorOptions): State {
  return {
    seed: options.seed ?? 1,
    house: { apiKey: options.apiKey ?? null, models: options.models ?? null },
    script: options.script,
    seen: [],
    seenMax: options.seenMax ?? SEEN_MAX,
    connections: new Map(),
    counts: {
      requests: 0,
      connections: 0,
      openConnections: 0,
      openRequests: 0,
      finished: 0,
      closedByPeer: 0,
      refused: 0,
      faulted: 0,
    },
    scenario: options.scenario ?? {},
    faults: options.faults ?? [],
  };
}

function accept(state: State, socket: Socket): void {
  const { counts, connections } = state;
  counts.connections += 1;
  counts.openConnections += 1;
  const whenClosed = (): void => {
    counts.openConnections -= 1;
    connections.delete(socket);
  };
  connections.set(socket, watchConnection(counts.connections, socket, whenClosed));
  const refusals = state.faults.filter((rule) => rule.fault.kind === "refuse");
  if (drawFault(refusals, state.seed, `connection ${counts.connections}`) === null) return;
  counts.refused += 1;
  socket.resetAndDestroy();
}

async function serve(state: State, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const connection = state.connections.get(request.socket);
  const body = await readBody(request);
  if (connection === undefined || body === undefined) {
    request.socket.destroy();
    return;
  }
  state.counts.requests += 1;
  const seen = recordRequest(state.counts.requests, request, body, connection.id);
  remember(state, seen);
  const exchange = startExchange(state, connection, request, response, body, seen);
  await answerOn(state, exchange);
}

function remember(state: State, seen: SeenRecord): void {
  state.seen.push(seen);
  if (state.seen.length > state.seenMax) state.seen.shift();
}

function startExchange(
  state: State,
  connection: Connection,
  request: IncomingMessage,
  response: ServerResponse,
  body: Uint8Array,
  seen: SeenRecord,
): SimulatedExchange {
  const wanted: Scenario = { ...DEFAULT_SCENARIO, ...state.scenario, ...state.script?.(seen) };
  const fault = connection.closesOnReuse ? ({ kind: "refuse" } as const) : (wanted.fault ?? drawnFault(state, seen));
  const scenario = withEcho(fault, faultyScenario(fault, wanted), request);
  seen.fault = fault?.kind ?? null;
  const outlet = new Outlet(response, request.socket, seen, bodyShape(fault, scenario));
  return { request, response, connection, outlet, body, scenario, fault, seed: state.seed };
}

function drawnFault(state: State, seen: SeenRequest): Fault | null {
  if (seen.method !== "POST") return null;
  const rules = state.faults.filter((rule) => rule.fault.kind !== "refuse");
  return drawFault(rules, state.seed, `request ${seen.number}`);
}

function withEcho(fault: Fault | null, scenario: Scenario, request: IncomingMessage): Scenario {
  return fault?.kind === "echo" ? { ...scenario, text: echoText(request.headers) } : scenario;
}

async function answerOn(state: State, exchange: SimulatedExchange): Promise<void> {
  const { counts } = state;
  const { outlet, connection } = exchange;
  counts.openRequests += 1;
  if (exchange.fault !== null) counts.faulted += 1;
  connection.outlets.add(outlet);
  // The client may have left while its body was still being gathered.
  if (connection.socket.destroyed) outlet.leave(true);
  try {
    await answer(exchange, state.house);
  } finally {
    connection.outlets.delete(outlet);
    counts.openRequests -= 1;
    if (outlet.seen.finishedAt !== null) counts.finished += 1;
    if (outlet.seen.closedByPeerAt !== null) counts.closedByPeer += 1;
    trimRecord(outlet.seen);
  }
}

async function stop(state: State, server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  for (const connection of state.connections.values()) {
    for (const outlet of connection.outlets) outlet.leave(false);
    connection.socket.destroy();
  }
  await closed;
}
