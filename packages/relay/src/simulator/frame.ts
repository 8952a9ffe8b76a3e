import type { Framing } from "./scenario.ts";
import type { StreamEvent } from "./stream-item.ts";

/** Writes an event as bytes of the event stream; `index` counts the events from 0. */
export function frame(event: StreamEvent, framing: Framing, index: number): string {
  const name = event.name === undefined ? "" : `event: ${event.name}\n`;
  switch (framing) {
    case "lf":
      return `${name}data: ${event.data}\n\n`;
    case "crlf":
      return withLineEnd(`${name}data: ${event.data}\n\n`, "\r\n");
    case "cr":
      return withLineEnd(`${name}data: ${event.data}\n\n`, "\r");
    case "bom":
      return `${index === 0 ? "\uFEFF" : ""}${name}data: ${event.data}\n\n`;
    case "no-space":
      return `${name}data:${event.data}\n\n`;
    case "two-data-lines":
      return `${name}${twoLines(event.data)}\n`;
    case "ids":
      return `id: ${index}\n${name}data: ${event.data}\n\n`;
    case "event-names":
      return `${name === "" ? "event: chunk\n" : name}data: ${event.data}\n\n`;
    case "retry":
      return `${name}${index === 0 ? "retry: 3000\n" : ""}data: ${event.data}\n\n`;
  }
}

/** Event data never has a line end in it (JSON escapes them), so every line end in the frame belongs to the frame. */
function withLineEnd(text: string, end: string): string {
  return text.replaceAll("\n", end);
}

/** Splits JSON between its first two members; a line end there is white space. */
function twoLines(data: string): string {
  const at = data.indexOf('","') + 2;
  return at < 2 ? `data: ${data}\n` : `data: ${data.slice(0, at)}\ndata: ${data.slice(at)}\n`;
}
