/** A button, and what hangs on it until somebody clicks elsewhere. */

import { Popover } from "antd";
import { useState, type ComponentProps, type ReactNode } from "react";

interface DropProps extends Omit<ComponentProps<"button">, "content"> {
  /** What hangs on the button; `close` takes it away. */
  content: (close: () => void) => ReactNode;
  placement?: "bottomLeft" | "bottomRight";
}

export function Drop({ content, placement = "bottomRight", children, ...button }: DropProps) {
  const [open, setOpen] = useState(false);
  return (
    <Popover open={open} onOpenChange={setOpen} trigger="click" placement={placement} arrow={false} destroyOnHidden content={content(() => setOpen(false))}>
      <button type="button" {...button} aria-expanded={open}>
        {children}
      </button>
    </Popover>
  );
}
