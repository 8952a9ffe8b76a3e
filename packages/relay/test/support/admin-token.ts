/** The owner's token of every relay that a test starts. */
export const ADMIN_TOKEN = "mra_0123456789abcdefghijklmnopqrstuvwxyz";
