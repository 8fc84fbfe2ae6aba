/** Rounded digits, marked as such where they are not all there are. Python wrote both. */
export function about(short: string, text: string): string {
  return short === text ? text : `≈${short}`;
}
