/** Who sends requests in a trial: an account, with keys and workers of its own. */
export interface Customer {
  readonly accountId: string;
  readonly isMetered: boolean;
  readonly keys: readonly string[];
  readonly models: readonly string[];
  readonly workers: number;
}
