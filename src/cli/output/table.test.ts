import assert from "node:assert/strict";
import { test } from "node:test";
import { fitWidth } from "./display-width.ts";
import { formatTable } from "./table.ts";

interface Row {
  name: string;
  image: string;
}

const columns = [
  { title: "NAME", value: (row: Row) => row.name },
  { title: "IMAGE", value: (row: Row) => row.image, maximum: 8 },
];

test("formatTable() aligns columns and leaves no spaces at line ends", () => {
  const rows = [
    { name: "a", image: "alpine" },
    { name: "longer", image: "b" },
  ];
  assert.equal(formatTable(rows, columns), "NAME     IMAGE\na        alpine\nlonger   b\n");
});

test("formatTable() cuts long values only when it may", () => {
  const rows = [{ name: "a", image: "registry.example/x" }];
  assert.equal(formatTable(rows, columns), "NAME   IMAGE\na      registr…\n");
  assert.equal(formatTable(rows, columns, { truncate: false }), "NAME   IMAGE\na      registry.example/x\n");
});

test("formatTable() counts wide characters as two columns and shows controls as text", () => {
  const rows = [
    { name: "日本", image: "x" },
    { name: "a\u001b[2J", image: "y" },
  ];
  assert.equal(formatTable(rows, columns), "NAME       IMAGE\n日本       x\na\\x1b[2J   y\n");
});

test("fitWidth() never exceeds the width, not even for wide characters at the edge", () => {
  assert.equal(fitWidth("日本語", 4), "日…");
  assert.equal(fitWidth("abc", 0), "");
});
