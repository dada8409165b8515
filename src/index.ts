export type { EngineSupport } from "./engine/engine.ts";
export { type ErrorCode, errorCodes } from "./errors/codes.ts";
export { type ErrorDetails, SupermachineError, type WireError } from "./errors/supermachine-error.ts";
export { type Diagnosis, type DoctorCheck, doctor } from "./machine/doctor.ts";
export type { Execution } from "./machine/execution.ts";
export {
  Image,
  type ImageDetails,
  type ImageInfo,
  type ImageLayer,
  type ImageStoreFacade,
  type ImportOptions,
  type PrepareOptions,
  type PullOptions,
} from "./machine/image.ts";
export { Machine } from "./machine/machine.ts";
export type { MachineFiles } from "./machine/machine-files.ts";
export type { Percentiles } from "./machine/pool/latency-window.ts";
export type { Lease, ReleaseAction } from "./machine/pool/lease.ts";
export { type AcquireOptions, Pool } from "./machine/pool/pool.ts";
export type {
  CustomPoolOptions,
  ImagePoolOptions,
  PoolLimits,
  PoolOptions,
} from "./machine/pool/pool-options.ts";
export type { PoolStats } from "./machine/pool/pool-stats.ts";
export { Snapshot, type SnapshotStoreFacade } from "./machine/snapshot.ts";
export type * from "./machine/types.ts";
export type { ProgressEvent } from "./progress/progress.ts";
