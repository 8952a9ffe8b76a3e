import { deliver, deliverBody } from "./deliver.ts";
import { echoText } from "./echo.ts";
import { errorJson, statusBody } from "./error-body.ts";
import type { SimulatedExchange } from "./exchange.ts";
import type { Fault, FaultOf } from "./fault.ts";
import { gzipBomb } from "./gzip-bomb.ts";
import type { Step } from "./pace.ts";

const HTML = "<!doctype html><html><body><h1>It works!</h1></body></html>";
const ERROR_200 = "The request was accepted and failed all the same.";

/** Answers faults that replace the whole response. False: the fault is of another sort and a good answer follows. */
export async function answerFault(exchange: SimulatedExchange, fault: Fault): Promise<boolean> {
  const { outlet } = exchange;
  switch (fault.kind) {
    case "refuse":
      await outlet.end("rst");
      return true;
    case "hang":
      await outlet.hang();
      return true;
    case "status":
      await answerStatus(exchange, fault);
      return true;
    case "garbage":
      await outlet.sendRaw("\u0016\u0003\u0001 this is no HTTP at all\r\n\r\n\u0000\u0001\u0002");
      await outlet.end("fin");
      return true;
    case "101":
      await outlet.sendRaw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
      await outlet.hang();
      return true;
    case "redirect":
      await deliverBody(exchange, fault.status, "text/plain", "moved\n", {
        location: fault.location,
      });
      return true;
    case "error-200":
      await deliverBody(exchange, 200, "application/json", error200(fault));
      return true;
    case "gzip-bomb":
      await answerBomb(exchange, fault);
      return true;
    case "wrong-type":
      if (fault.contentType !== undefined) return false;
      await deliverBody(exchange, 200, "text/html", HTML);
      return true;
    case "echo":
      return answerEcho(exchange, fault);
    default:
      return false;
  }
}

/** Answers with headers that no good server writes, around a good body. */
export async function answerBadHead(exchange: SimulatedExchange, kind: "bare-lf" | "cl-and-te", body: Uint8Array): Promise<void> {
  const { outlet } = exchange;
  const length = `Content-Length: ${body.length}`;
  const head = ["HTTP/1.1 200 OK", "Content-Type: text/event-stream", length];
  if (kind === "bare-lf") {
    await outlet.sendRaw(`${head.join("\n")}\n\n`);
    await outlet.sendRaw(body);
  } else {
    await outlet.sendRaw(`${[...head, "Transfer-Encoding: chunked"].join("\r\n")}\r\n\r\n${body.length.toString(16)}\r\n`);
    await outlet.sendRaw(body);
    await outlet.sendRaw("\r\n0\r\n\r\n");
  }
  await outlet.end("fin");
}

async function answerStatus(exchange: SimulatedExchange, fault: FaultOf<"status">): Promise<void> {
  const { contentType, body } = statusBody(fault.status, fault.shape ?? exchange.scenario.errorStyle);
  await deliverBody(exchange, fault.status, contentType, body, retryAfter(fault.retryAfterMs));
}

/** `retry-after` has whole seconds only; a second header, which SDKs read too, has the exact time. */
function retryAfter(ms: number | undefined): Record<string, string> {
  if (ms === undefined) return {};
  const seconds = String(Math.ceil(ms / 1000));
  return ms % 1000 === 0 ? { "retry-after": seconds } : { "retry-after": seconds, "retry-after-ms": String(ms) };
}

function error200(fault: FaultOf<"error-200">): string {
  if (fault.shape === "string") return JSON.stringify({ error: ERROR_200 });
  return errorJson(ERROR_200, "server_error", "server_error");
}

async function answerBomb(exchange: SimulatedExchange, fault: FaultOf<"gzip-bomb">): Promise<void> {
  const bomb = await gzipBomb(fault.inflatedBytes);
  const steps: Step[] = [{ kind: "bytes", bytes: bomb, isEvent: false }];
  const headers = { "content-encoding": "gzip" };
  await deliver(exchange, {
    status: 200,
    contentType: "text/event-stream",
    steps,
    bodyBytes: bomb.length,
    headers,
  });
}

async function answerEcho(exchange: SimulatedExchange, fault: FaultOf<"echo">): Promise<boolean> {
  if (fault.status === undefined) return false;
  const { contentType, body } = statusBody(fault.status, "openai", echoText(exchange.request.headers));
  await deliverBody(exchange, fault.status, contentType, body);
  return true;
}
