/**
 * The Node program of the guide (seed.txt) with its habits kept: each packet is made text on its own, only lines that
 * begin with `data: ` count, JSON that does not parse is passed over, and it stops at a line that is exactly `[DONE]`.
 */
import { request } from "node:http";

interface GuideAsk {
  readonly url: string;
  readonly key: string;
  readonly model: string;
  readonly onChunk?: (text: string) => void;
}

export interface GuideAnswer {
  /** The program does not look at it; who calls it may. */
  readonly status: number;
  readonly text: string;
}

export function streamLikeTheGuide(ask: GuideAsk): Promise<GuideAnswer> {
  const payload = JSON.stringify({
    model: ask.model,
    messages: [
      { role: "system", content: "You are an expert Python developer." },
      { role: "user", content: "Write a FastAPI endpoint with authentication." },
    ],
    max_tokens: 1500,
    temperature: 0.7,
    stream: true,
  });
  const headers = {
    authorization: `Bearer ${ask.key}`,
    "content-type": "application/json",
    accept: "text/event-stream",
    "content-length": Buffer.byteLength(payload),
  };
  return new Promise((resolve, reject) => {
    const sent = request(`${ask.url}/v1/chat/completions`, { method: "POST", headers, agent: false }, (response) => {
      const status = response.statusCode ?? 0;
      let waiting = "";
      let text = "";
      const take = (line: string): boolean => {
        if (!line.startsWith("data: ")) return false;
        const data = line.slice(6);
        if (data === "[DONE]") return true;
        const piece = contentOf(data);
        if (piece === "") return false;
        text += piece;
        ask.onChunk?.(piece);
        return false;
      };
      response.on("data", (packet: Buffer) => {
        waiting += packet.toString();
        const lines = waiting.split("\n");
        waiting = lines.pop() ?? "";
        if (lines.some(take)) resolve({ status, text });
      });
      response.on("error", reject);
      response.on("end", () => {
        take(waiting);
        resolve({ status, text });
      });
    });
    sent.on("error", reject);
    sent.end(payload);
  });
}

function contentOf(data: string): string {
  try {
    const parsed = JSON.parse(data) as { choices?: { delta?: { content?: string | null } }[] };
    return parsed.choices?.[0]?.delta?.content ?? "";
  } catch {
    return "";
  }
}
