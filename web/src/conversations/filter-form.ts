/** The form that says which events are shown. */

import { element, setText } from "../shared/page";
import { make } from "./dom";
import { EVERYTHING, instantOf } from "./filter";
import type { Filter } from "./filter";
import { KINDS } from "./stored";

export class FilterForm {
  private readonly form = element<HTMLFormElement>("filter-form");
  private readonly session = element<HTMLSelectElement>("filter-session");
  private readonly from = element<HTMLInputElement>("filter-from");
  private readonly to = element<HTMLInputElement>("filter-to");
  private readonly boxes: readonly HTMLInputElement[];

  constructor(chosen: (filter: Filter) => void) {
    this.boxes = KINDS.map(kindBox);
    const tell = (filter: Filter): void => {
      setText(element("filters-said"), said(filter));
      chosen(filter);
    };
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("change", () => tell(this.read()));
    this.form.addEventListener("reset", () => tell(EVERYTHING));
  }

  /** Offer every session there is, the newest first. */
  offer(newest: number): void {
    for (let session = this.session.options.length - 1; session <= newest; session += 1) {
      const option = make("option", { text: String(session) });
      this.session.add(option, 1);
    }
  }

  private read(): Filter {
    return {
      kinds: this.boxes.filter((box) => box.checked).map((box) => box.value),
      session: this.session.value === "" ? null : Number(this.session.value),
      fromMs: instantOf(this.from.value),
      toMs: instantOf(this.to.value),
    };
  }
}

function kindBox(kind: string): HTMLInputElement {
  const box = make("input", { testid: `kind-${kind}` });
  box.type = "checkbox";
  box.value = kind;
  const label = make("label", { class: "kind-choice" }, box, make("span", { text: kind.replaceAll("_", " ") }));
  element("filter-kinds").append(label);
  return box;
}

function said(filter: Filter): string {
  const parts = [
    filter.kinds.map((kind) => kind.replaceAll("_", " ")).join(", "),
    filter.session === null ? "" : `session ${filter.session}`,
    filter.fromMs === null && filter.toMs === null ? "" : "by time",
  ];
  return parts.filter((part) => part !== "").join(" · ");
}
