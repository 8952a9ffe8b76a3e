/** What the running configuration says to the control plane. The control plane reads it at each request, because a reload may have changed it. */
import type { Pricing } from "./resources/prices.ts";
import type { TierView } from "./resources/tiers.ts";

export interface ControlSettings {
  /** `MILLRACE_ADMIN_TOKEN`; null where only members may come in. */
  readonly adminToken: string | null;
  readonly tiers: readonly TierView[];
  readonly pricing: Pricing;
}
