/** Text in which backticks mark names, as the server writes it. */

import { Fragment } from "react";

export function Prose({ text }: { text: string }) {
  return text.split("`").map((piece, index) => (index % 2 === 1 ? <code key={index}>{piece}</code> : <Fragment key={index}>{piece}</Fragment>));
}

/** The same where only plain text can stand. */
export const plainProse = (text: string) => text.replaceAll("`", "");
