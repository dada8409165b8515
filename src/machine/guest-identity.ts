import { randomBytes, randomUUID } from "node:crypto";
import type { GuestIdentity } from "../agent/requests.ts";

/** Of what a guest has to be given at least; the kernel's pool takes 32 bytes. */
const entropyBytes = 64;

/** What makes a guest, or a copy of one, a machine of its own: never the same twice. */
export function freshIdentity(hostname: string): GuestIdentity {
  return {
    hostname,
    clockNs: BigInt(Date.now()) * 1_000_000n,
    entropy: randomBytes(entropyBytes),
    machineId: randomBytes(16).toString("hex"),
    bootId: randomUUID(),
  };
}
