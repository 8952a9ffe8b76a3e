import { answerEvents } from "./answer-events.ts";
import { planAnswer } from "./answer-plan.ts";
import type { AnswerPlan, TextEndpoint } from "./answer-plan.ts";
import { deliver, deliverBody, deliverRaw } from "./deliver.ts";
import { embeddingsAnswer } from "./embeddings.ts";
import { errorJson, statusBody } from "./error-body.ts";
import type { SimulatedExchange } from "./exchange.ts";
import { answerBadHead, answerFault } from "./fault-answer.ts";
import { spoilItems } from "./fault-events.ts";
import { asObject } from "@millrace/wire/json-values";
import { asText } from "./json.ts";
import type { JsonObject } from "@millrace/wire/json-values";
import { collectBytes, paceStream } from "./pace.ts";
import type { Step, Writing } from "./pace.ts";
import { plainAnswer } from "./plain-answer.ts";
import { plainSteps } from "./plain-steps.ts";

/** What the simulator checks requests against. */
export interface House {
  readonly apiKey: string | null;
  /** Null: every model name is served. */
  readonly models: readonly string[] | null;
}

const MODELS_LISTED = ["simulator", "simulator-large"];
const JSON_TYPE = "application/json";
const STREAM_TYPE = "text/event-stream; charset=utf-8";
const POST_ENDPOINTS = ["chat/completions", "completions", "embeddings"];

/** Answers one request, as the scenario and the fault say. */
export async function answer(exchange: SimulatedExchange, house: House): Promise<void> {
  const { scenario, fault } = exchange;
  if (scenario.raw !== null) return deliverRaw(exchange, scenario.raw);
  if (fault !== null && (await answerFault(exchange, fault))) return undefined;
  if (!hasKey(exchange, house)) return refuseKey(exchange);
  const path = endpointPath(exchange.request.url ?? "/");
  if (POST_ENDPOINTS.includes(path)) return answerPost(exchange, house, path);
  return answerGet(exchange, house, path);
}

/** The path without query, `/v1` and `/beta`. */
function endpointPath(url: string): string {
  return (url.split("?", 1)[0] ?? "").replace(/^(\/(v1|beta))*\//, "").replace(/\/$/, "");
}

function hasKey({ request }: SimulatedExchange, house: House): boolean {
  if (house.apiKey === null) return true;
  const { authorization } = request.headers;
  return [authorization, request.headers["x-api-key"], request.headers["api-key"]].some(
    (value) => value === house.apiKey || value === `Bearer ${house.apiKey}`,
  );
}

async function refuseKey(exchange: SimulatedExchange): Promise<void> {
  const { errorStyle } = exchange.scenario;
  const { authorization } = exchange.request.headers;
  if (errorStyle === "deepseek" && authorization === undefined) {
    return deliverBody(exchange, 401, "text/plain", "Authentication Fails (governor)");
  }
  const key = (authorization ?? "").replace(/^Bearer /i, "");
  const message =
    errorStyle === "deepseek"
      ? `Authentication Fails, Your api key: ****${key.slice(-4)} is invalid`
      : `Incorrect API key provided: ${key.slice(0, 8)}****${key.slice(-4)}.`;
  return refuse(exchange, 401, message);
}

function refuse(exchange: SimulatedExchange, status: number, message: string): Promise<void> {
  const { contentType, body } = statusBody(status, exchange.scenario.errorStyle, message);
  return deliverBody(exchange, status, contentType, body);
}

async function answerGet(exchange: SimulatedExchange, house: House, path: string): Promise<void> {
  const listed = house.models ?? MODELS_LISTED;
  const id = path.startsWith("models/") ? decoded(path.slice("models/".length)) : null;
  if (path !== "models" && path !== "user/balance" && id === null) return refuseRoute(exchange);
  if (exchange.request.method !== "GET") return refuse(exchange, 405, "Not allowed: use GET here.");
  if (path === "user/balance") return deliverBody(exchange, 200, JSON_TYPE, JSON.stringify(BALANCE));
  if (id === null) {
    return deliverBody(exchange, 200, JSON_TYPE, JSON.stringify({ object: "list", data: listed.map(modelObject) }));
  }
  if (!listed.includes(id)) return refuse(exchange, 404, `The model '${id}' does not exist`);
  return deliverBody(exchange, 200, JSON_TYPE, JSON.stringify(modelObject(id)));
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const BALANCE = {
  is_available: true,
  balance_infos: [{ currency: "USD", total_balance: "4.20", granted_balance: "0.00", topped_up_balance: "4.20" }],
};

function modelObject(id: string): object {
  return { id, object: "model", created: 1_790_000_000, owned_by: "millrace-simulator" };
}

function refuseRoute(exchange: SimulatedExchange): Promise<void> {
  const message = `Invalid URL (${exchange.request.method} ${exchange.request.url})`;
  return deliverBody(exchange, 404, JSON_TYPE, errorJson(message, "invalid_request_error", null));
}

async function answerPost(exchange: SimulatedExchange, house: House, path: string): Promise<void> {
  if (exchange.request.method !== "POST") return refuse(exchange, 405, "Not allowed: use POST here.");
  const body = asObject(exchange.outlet.seen.json);
  if (body === null) return refuse(exchange, 400, "We could not parse the JSON body of your request.");
  const mistake = mistakeIn(body, path);
  if (mistake !== undefined) return refuse(exchange, 400, mistake);
  const model = asText(body["model"]) ?? "";
  if (house.models !== null && !house.models.includes(model)) {
    return refuse(exchange, 404, `The model '${model}' does not exist`);
  }
  if (path !== "embeddings") return answerText(exchange, path === "completions" ? "completions" : "chat", body);
  return answerPlain(exchange, embeddingsAnswer(body, exchange.seed));
}

function mistakeIn(body: JsonObject, path: string): string | undefined {
  if (asText(body["model"]) === undefined) return "you must provide a model parameter";
  if (path === "chat/completions" && !Array.isArray(body["messages"])) return "Missing required parameter: 'messages'.";
  if (path === "embeddings" && body["input"] === undefined) return "Missing required parameter: 'input'.";
  if (body["stream"] !== true && asObject(body["stream_options"]) !== null) {
    return "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
  }
  return undefined;
}

async function answerText(exchange: SimulatedExchange, endpoint: TextEndpoint, body: JsonObject): Promise<void> {
  const { scenario, fault, seed } = exchange;
  const plan = planAnswer(endpoint, body, exchange.body, seed, scenario);
  if (!plan.isStream || fault?.kind === "json-instead-of-stream") return answerPlain(exchange, plainAnswer(plan));
  const steps = paceStream(spoilItems(fault, answerEvents(plan), plan), scenario, writing(exchange));
  if (fault?.kind === "bare-lf" || fault?.kind === "cl-and-te") {
    return answerBadHead(exchange, fault.kind, collectBytes(steps));
  }
  return deliver(exchange, streamDelivery(exchange, plan, steps));
}

function streamDelivery(exchange: SimulatedExchange, plan: AnswerPlan, steps: Iterable<Step>): Parameters<typeof deliver>[1] {
  const early = plan.scenario.earlyHeaders || exchange.fault?.kind === "hang-headers";
  return { status: 200, contentType: streamType(exchange), steps, sendsHeadersEarly: early };
}

function streamType({ fault }: SimulatedExchange): string {
  if (fault?.kind === "wrong-type") return fault.contentType ?? "text/html";
  if (fault?.kind === "ndjson") return "application/x-ndjson";
  return fault?.kind === "multi-json-body" ? JSON_TYPE : STREAM_TYPE;
}

function writing({ fault }: SimulatedExchange): Writing {
  if (fault?.kind === "ndjson") return "lines";
  return fault?.kind === "multi-json-body" ? "documents" : "events";
}

async function answerPlain(exchange: SimulatedExchange, body: string): Promise<void> {
  const { fault, scenario } = exchange;
  if (fault?.kind === "bare-lf" || fault?.kind === "cl-and-te") {
    return answerBadHead(exchange, fault.kind, Buffer.from(body));
  }
  const contentType = fault?.kind === "wrong-type" ? (fault.contentType ?? "text/html") : JSON_TYPE;
  return deliver(exchange, { status: 200, contentType, ...plainSteps(fault, body, scenario) });
}
