/** The endpoint of a request was called `door` until 0.1.0. For one version rows, receipts, logs and metrics have both names. */

/** Member or label names of an endpoint: the present one, and the one that the next version takes away. */
export function endpointNames(endpoint: string): { readonly endpoint: string; readonly door: string } {
  return { endpoint, door: endpoint };
}
