/** Making and changing elements. */

export interface Marks {
  readonly class?: string;
  readonly testid?: string;
  readonly text?: string;
}

export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  marks: Marks = {},
  ...children: readonly HTMLElement[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  if (marks.class !== undefined) {
    made.className = marks.class;
  }
  if (marks.testid !== undefined) {
    made.dataset["testid"] = marks.testid;
  }
  if (marks.text !== undefined) {
    made.textContent = marks.text;
  }
  made.append(...children);
  return made;
}

/** An instant in the person's own time and language, with the exact one behind it. */
export function timeElement(at: string, how: Intl.DateTimeFormatOptions): HTMLTimeElement {
  const made = make("time", { text: shownTime(at, how) });
  made.dateTime = at;
  made.title = at;
  return made;
}

export const DATE_AND_TIME: Intl.DateTimeFormatOptions = {
  year: "numeric",
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
};
export const TIME: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit" };
export const EXACT_TIME: Intl.DateTimeFormatOptions = {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  fractionalSecondDigits: 3,
};

function shownTime(at: string, how: Intl.DateTimeFormatOptions): string {
  const instant = new Date(at);
  return Number.isNaN(instant.getTime())
    ? at
    : new Intl.DateTimeFormat(undefined, how).format(instant);
}

/** One item to draw: made once, and made again only when what it shows has changed. */
export interface Row {
  readonly id: string;
  readonly shows: readonly unknown[];
  readonly make: () => HTMLElement;
}

/** A list whose items stay the same elements while they show the same. */
export class KeyedList {
  private readonly drawn = new Map<string, { element: HTMLElement; shows: readonly unknown[] }>();

  constructor(private readonly list: HTMLElement) {}

  draw(rows: readonly Row[]): void {
    const kept = new Set(rows.map((row) => row.id));
    for (const [id, { element }] of this.drawn) {
      if (!kept.has(id)) {
        element.remove();
        this.drawn.delete(id);
      }
    }
    let next = this.list.firstElementChild;
    for (const row of rows) {
      const before = this.drawn.get(row.id)?.element;
      const element = this.elementOf(row);
      if (before !== undefined && before === next) {
        next = element; // it may have been made anew, in its place
      }
      if (element === next) {
        next = next.nextElementSibling;
      } else {
        this.list.insertBefore(element, next);
      }
    }
  }

  elementFor(id: string): HTMLElement | null {
    return this.drawn.get(id)?.element ?? null;
  }

  private elementOf(row: Row): HTMLElement {
    const held = this.drawn.get(row.id);
    if (held !== undefined && same(held.shows, row.shows)) {
      return held.element;
    }
    const element = row.make();
    held?.element.replaceWith(element);
    this.drawn.set(row.id, { element, shows: row.shows });
    return element;
  }
}

function same(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((each, place) => each === b[place]);
}

const NEAR_THE_END_PX = 80;

/** Keeps the newest in sight, unless the person scrolled away; keeps the place when older comes. */
export class Scroller {
  private follows = true;

  constructor(private readonly box: HTMLElement) {
    box.addEventListener("scroll", () => {
      this.follows = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_THE_END_PX;
    });
    new ResizeObserver(() => this.settle()).observe(box);
  }

  /** Draw, then put the view where it belongs. */
  around(draw: () => void, { older }: { readonly older: boolean }): void {
    const fromEnd = this.box.scrollHeight - this.box.scrollTop;
    draw();
    if (this.follows) {
      this.settle();
    } else if (older) {
      this.box.scrollTop = this.box.scrollHeight - fromEnd;
    }
  }

  private settle(): void {
    if (this.follows) {
      this.box.scrollTop = this.box.scrollHeight;
    }
  }
}
