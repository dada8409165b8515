import { SupermachineError } from "../errors/supermachine-error.ts";
import type { ByteString } from "./byte-source.ts";
import { printable } from "./byte-string.ts";

/** Where in an archive something is wrong. */
export interface ArchivePlace {
  /** Name as the archive has it; absent when damage precedes any name. */
  readonly entry?: ByteString | undefined;
  /** Of the entry's header, in bytes from the start of the uncompressed archive. */
  readonly offset?: number | undefined;
  readonly hint?: string | undefined;
  readonly cause?: unknown;
}

/** Reports that an archive is damaged or hostile: `problem` continues the sentence "Entry 'x' ...". */
export function archiveError(problem: string, place: ArchivePlace = {}): SupermachineError {
  const { entry, offset, hint, cause } = place;
  const subject = entry === undefined ? "The archive" : `Entry '${printable(entry)}'`;
  return new SupermachineError("ARCHIVE_INVALID", `${subject} ${problem}`, {
    hint,
    cause,
    data: {
      ...(entry === undefined ? {} : { entry: printable(entry) }),
      ...(offset === undefined ? {} : { offset }),
    },
  });
}

/** Ends the reading of an entry; bound to the entry's name and offset by whoever reads it. */
export type Fail = (problem: string) => never;
