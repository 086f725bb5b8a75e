import { createRoot } from "react-dom/client";
import { App } from "./app/app";
import { usePreferences } from "./app/preferences";
import { loadSession } from "./app/session";
import { initLanguage } from "./i18n";
import "./styles/base.css";
import "./styles/components.css";
import "./styles/shell.css";

// Asked while everything else is still loading; whoever needs the answer asks again and joins.
loadSession().catch(() => undefined);
await initLanguage(usePreferences.getState().language);
createRoot(document.getElementById("root")!).render(<App />);
