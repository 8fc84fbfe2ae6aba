// One stop of the Tab key for many things alike; arrows move among them.

/** For the element around the things, each of which has data-item. columns: how far up and down lead. */
export function roving(columns: number) {
  return (event: KeyboardEvent & { currentTarget: HTMLElement }) => {
    const items = [...event.currentTarget.querySelectorAll<HTMLElement>("[data-item]")];
    const at = items.findIndex((item) => item === document.activeElement);
    const steps: Record<string, number> = {
      ArrowLeft: at - 1,
      ArrowRight: at + 1,
      ArrowUp: at - columns,
      ArrowDown: at + columns,
      Home: 0,
      End: items.length - 1,
    };
    const to = steps[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    items[Math.min(Math.max(to, 0), items.length - 1)]?.focus();
  };
}
