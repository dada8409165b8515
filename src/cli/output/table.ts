import { displayWidth, fitWidth } from "./display-width.ts";
import { printable } from "./printable.ts";

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string;
  /** Longer values are cut to this many columns unless the user asked for no truncation. */
  readonly maximum?: number;
}

/** An aligned table with a title line; columns are three spaces apart, as docker prints them. */
export function formatTable<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  options: { truncate?: boolean } = {},
): string {
  const cells = rows.map((row) =>
    columns.map((column) => {
      const value = printable(column.value(row));
      return column.maximum !== undefined && options.truncate !== false
        ? fitWidth(value, column.maximum)
        : value;
    }),
  );
  const lines = [columns.map((column) => column.title), ...cells];
  const widths = columns.map((_, index) => Math.max(...lines.map((line) => displayWidth(line[index] ?? ""))));
  return lines.map((line) => `${formatLine(line, widths)}\n`).join("");
}

function formatLine(cells: readonly string[], widths: readonly number[]): string {
  return cells
    .map((cell, index) => cell + " ".repeat((widths[index] ?? 0) - displayWidth(cell)))
    .join("   ")
    .trimEnd();
}
