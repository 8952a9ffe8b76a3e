/** An upstream together with what the catalogue knows about its provider. */
import { RESERVED_SHARE } from "@millrace/policy/fair-share";
import type { Preset } from "../provider/preset.ts";
import { CAPACITY } from "./capacity.ts";
import type { OnDisconnect, Timeouts, Upstream } from "./config.ts";

export interface PlacedUpstream {
  readonly upstream: Upstream;
  readonly preset: Preset;
}

/** What an owner may say about one upstream; the rest comes from its preset and the defaults. */
export interface UpstreamWishes {
  readonly timeouts?: Partial<Timeouts>;
  readonly inFlightMax?: number | undefined;
  readonly reservedShare?: number | undefined;
  readonly onDisconnect?: OnDisconnect | undefined;
  readonly malformed?: Upstream["malformed"] | undefined;
  readonly finish?: Upstream["finish"] | undefined;
  readonly eventBytesMax?: number | undefined;
}

const TIMEOUTS: Timeouts = {
  connectMs: 5000,
  firstEventMs: 120_000,
  payloadIdleMs: 60_000,
  transportIdleMs: 60_000,
  totalMs: 3_600_000,
};

const EVENT_BYTES_MAX = 1024 ** 2;

/** Puts preset, address, secret and wishes together. */
export function placeUpstream(
  name: string,
  preset: Preset,
  address: { readonly baseUrl: string; readonly apiKey: string | null },
  wishes: UpstreamWishes = {},
): PlacedUpstream {
  const upstream: Upstream = {
    name,
    preset: preset.name,
    provider: preset.provider,
    ...address,
    timeouts: { ...TIMEOUTS, ...preset.timeouts, ...wishes.timeouts },
    inFlightMax: wishes.inFlightMax ?? CAPACITY.callsMax,
    reservedShare: wishes.reservedShare ?? RESERVED_SHARE,
    onDisconnect: wishes.onDisconnect ?? { mode: "abort" },
    malformed: wishes.malformed ?? "fail",
    usageInStream: preset.usageInStream,
    finish: wishes.finish ?? preset.finish,
    eventBytesMax: wishes.eventBytesMax ?? EVENT_BYTES_MAX,
  };
  return { upstream, preset };
}
