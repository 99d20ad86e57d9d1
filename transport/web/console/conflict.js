// A conflict of two writers of a key.

import { showDifference } from "./difference.js";
import { button, h } from "./dom.js";
import { format } from "./json.js";

// showConflict says that another writer was faster, and shows the difference. theirs is the
// entry of the other writer, whose value is null if the key was deleted, and mine is a text.
export function showConflict(theirs, mine, { overwrite, take }) {
  const isDeleted = theirs.value === null;
  return h(
    "div.conflict",
    {},
    h("p", {}, `Another writer has ${isDeleted ? "deleted this key" : "changed this key"} since you began to edit it.`),
    h("p.legend", {}, "− theirs, + yours"),
    showDifference(isDeleted ? "" : format(theirs.value), mine),
    h("div.bar", {}, button("Overwrite with mine", overwrite, { className: "danger" }), button("Take theirs", take)),
  );
}
