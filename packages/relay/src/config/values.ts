/** Values that the environment, the flags and the file have in common. */
import type { DatabaseConfig } from "./config.ts";

/** A value, or what is wrong with it, worded to follow its name. */
export type Parsed<T> = { readonly value: T } | { readonly fault: string };

/** Says whether the text is a port; 0 lets the system choose. */
export function isPort(text: string): boolean {
  return /^\d{1,5}$/.test(text) && Number(text) <= 65_535;
}

function bareHost(text: string): string {
  return text.replace(/^\[(.*)\]$/, "$1");
}

/** A host to listen on, without brackets. */
export function parseHost(text: string): Parsed<string> {
  const host = bareHost(text);
  return /^[\w.:%-]+$/.test(host) ? { value: host } : { fault: "must be a host name or an address, without scheme and port" };
}

/** `sqlite:PATH`, or `postgres://USER:PASSWORD@HOST:PORT/NAME`. A fault never repeats the text. */
export function parseDatabase(text: string): Parsed<DatabaseConfig> {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(text)?.[1]?.toLowerCase();
  if (scheme === "postgres" || scheme === "postgresql") {
    const url = URL.parse(text);
    const isWhole = url !== null && url.hostname !== "" && url.pathname.length > 1;
    return isWhole ? { value: { kind: "postgres", url: text } } : { fault: "must be postgres://USER:PASSWORD@HOST:PORT/NAME" };
  }
  if (scheme !== "sqlite") return { fault: "must be sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/NAME" };
  const path = text.slice("sqlite:".length).replace(/^\/\/(?=[^/]|\/)/, "");
  return path === "" || path === "//" ? { fault: "must be sqlite:PATH, and the path is missing" } : { value: { kind: "sqlite", path } };
}

/** `HOST:PORT`, `[::1]:PORT` or `:PORT` (every address). */
export function parseListen(text: string): Parsed<{ readonly host: string; readonly port: number }> {
  const match = /^(\[[0-9a-f:.%]+\]|[^\s:/[\]]*):(\d{1,5})$/i.exec(text);
  const host = match?.[1];
  const port = match?.[2];
  if (host === undefined || port === undefined || !isPort(port)) return { fault: "must be HOST:PORT, e.g. 127.0.0.1:8787" };
  return { value: { host: host === "" ? "0.0.0.0" : bareHost(host), port: Number(port) } };
}
