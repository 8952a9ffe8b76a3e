/** The groups of roles that routes are open to. */
import type { Role } from "../../access/caller.ts";

export const OWNER: readonly Role[] = ["owner"];
export const STAFF: readonly Role[] = ["owner", "operator"];
export const READERS: readonly Role[] = ["owner", "operator", "viewer"];
/** Account members see their own account in these, and nothing of the others. */
export const ALL: readonly Role[] = ["owner", "operator", "viewer", "member"];
export const CUSTOMERS: readonly Role[] = ["owner", "operator", "member"];
