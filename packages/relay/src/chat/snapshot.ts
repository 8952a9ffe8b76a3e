/**
 * Everything that a configuration decides for a request. It is immutable and numbered; a request takes it once, when it enters,
 * and is answered, priced and written down by it alone, whatever is loaded meanwhile.
 */
import type { PriceAt } from "@millrace/policy/price";
import { isInNetworks, networkList } from "../basics/network.ts";
import type { Config, Model, Upstream } from "../config/config.ts";
import { costFor, priceFor } from "../prices/book.ts";
import { Redactor } from "./redact.ts";

/** Where an upstream is, in the parts that a call needs. */
export interface UpstreamAddress {
  /** Scheme, host and port. */
  readonly origin: string;
  /** Path of its base URL, without a slash at the end. */
  readonly basePath: string;
}

export interface Snapshot {
  /** Number of the configuration; the row of each request names it. Null where the database has not given it one yet. */
  readonly revision: number | null;
  readonly config: Config;
  /** Knows the secrets of this configuration's upstreams. */
  readonly redactor: Redactor;
  /** By upstream. */
  readonly addresses: ReadonlyMap<string, UpstreamAddress>;
  /** Says whether an address belongs to one of the operator's own proxies. */
  readonly isTrustedProxy: (address: string) => boolean;
}

/** Derives from a configuration what requests need of it. @param revision its number. */
export function snapshotOf(config: Config, revision: number | null): Snapshot {
  const secrets = [...config.upstreams.values()].flatMap(({ apiKey }) => (apiKey === null ? [] : [apiKey]));
  const proxies = networkList(config.trustedProxies ?? []);
  return {
    revision,
    config,
    redactor: new Redactor(secrets),
    addresses: new Map([...config.upstreams].map(([name, { baseUrl }]) => [name, addressIn(baseUrl)])),
    isTrustedProxy: (address) => isInNetworks(proxies, address),
  };
}

function addressIn(baseUrl: string): UpstreamAddress {
  const { origin, pathname } = new URL(baseUrl);
  return { origin, basePath: pathname.replace(/\/+$/, "") };
}

/** The upstream of that name and where it is. @throws when there is none: a plan of this snapshot names only its own upstreams. */
export function upstreamOf({ config, addresses }: Snapshot, name: string): { upstream: Upstream; address: UpstreamAddress } {
  const [upstream, address] = [config.upstreams.get(name), addresses.get(name)];
  if (upstream === undefined || address === undefined) throw new Error(`no upstream is named ${name}`);
  return { upstream, address };
}

/** A model's label in metrics: its name when it is a configured one, so that clients cannot invent series. */
export function labelOf({ config }: Snapshot, model: string): string {
  return config.models.has(model) ? model : "other";
}

/** What a model costs its accounts at an instant (Unix milliseconds), or null when nothing is known of it. */
export function priceOf({ config }: Snapshot, model: Model, instantMs: number): PriceAt | null {
  return priceFor(config.prices, model, instantMs);
}

/** What an upstream's own tokens cost the operator at an instant (Unix milliseconds), or null. */
export function costOf({ config }: Snapshot, upstream: string, upstreamModel: string, instantMs: number): PriceAt | null {
  return costFor(config.prices, upstream, upstreamModel, instantMs);
}
