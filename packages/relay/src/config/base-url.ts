/** Addresses of upstreams: which are allowed, and what an address says about its owner. */
import { presetOfHost } from "../provider/catalogue.ts";
import type { Preset } from "../provider/preset.ts";

/** Says what is wrong with a base URL, worded to follow its name. Never repeats the URL, because it may have a password in it. */
export function baseUrlFault(text: string): string | null {
  if (/\s/.test(text)) return "holds white space";
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) return "must be an address such as https://api.example.com/v1";
  const url = new URL(text);
  if (url.username !== "" || url.password !== "") return "must not hold a user name or password; use the API key";
  if (text.includes("?")) return "must not hold a query (?...)";
  if (text.includes("#")) return "must not hold a fragment (#...)";
  if (/\/chat\/completions\/*$/.test(url.pathname)) return "must end before /chat/completions";
  return null;
}

/** The address in one form: no slash at the end, and the provider's usual path where only its host was given. */
export function normaliseBaseUrl(text: string, preset: Preset): string {
  const url = new URL(text);
  const isOwnHost = preset.hosts.includes(url.hostname) || (!preset.needsKey && preset.baseUrl !== "");
  if (url.pathname === "/" && isOwnHost) url.pathname = new URL(preset.baseUrl).pathname;
  return url.href.replace(/\/+$/, "");
}

/** The preset that an address belongs to by its host, or null. */
export function presetOfUrl(text: string): Preset | null {
  return presetOfHost(new URL(text).hostname);
}

/** True when a secret would cross a foreign network unencrypted. */
export function isOpenToReaders(text: string): boolean {
  const url = new URL(text);
  return url.protocol === "http:" && !isNear(url.hostname);
}

/** Says whether a listening host is reachable from this machine only. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, "").toLowerCase();
  return bare === "localhost" || bare === "::1" || /^127\.\d+\.\d+\.\d+$/.test(bare);
}

/** This machine, a private network, or a bare name such as a container's. */
function isNear(host: string): boolean {
  if (isLoopback(host)) return true;
  if (/^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.)/.test(host)) return true;
  if (/^\[f[cd]/.test(host)) return true;
  return /^[^.[\]]+$/.test(host) || /\.(local|internal|localhost|svc)$/.test(host);
}
