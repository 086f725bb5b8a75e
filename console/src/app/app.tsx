/** Everything the pages stand in: theme, language, server cache, routes. */

import { MutationCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { ConfigProvider } from "antd";
import type { Locale } from "antd/es/locale";
import { useEffect, useMemo, useState, type ReactNode } from "react";
import { createBrowserRouter, RouterProvider, useRouteError } from "react-router";
import { useTranslation } from "react-i18next";
import { ApiError, setUnauthenticatedHandler } from "../api/client";
import { Toasts } from "../components/toast";
import { changeLanguage } from "../i18n";
import { antdTheme } from "./antd-theme";
import { pageRoutes } from "./pages";
import { usePreferences } from "./preferences";
import { useSession } from "./session";
import { Shell } from "./shell";
import { ThemeProvider, useTheme } from "./theme";
import { ErrorBox } from "../components/states";

const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 2_000,
      refetchOnWindowFocus: false,
      retry: (failures, error) => failures < 2 && error instanceof ApiError && (error.status === 0 || error.status >= 500),
      retryDelay: (attempt) => Math.min(1_000 * 2 ** attempt, 8_000),
    },
  },
  mutationCache: new MutationCache(),
});

const router = createBrowserRouter([
  { path: "/login", lazy: async () => ({ Component: (await import("../pages/sign-in/login")).Login }) },
  { path: "/setup", lazy: async () => ({ Component: (await import("../pages/sign-in/setup")).SetupPage }) },
  {
    Component: Shell,
    ErrorBoundary: Broken,
    HydrateFallback: () => null,
    children: [
      {
        ErrorBoundary: Broken,
        children: [
          ...pageRoutes(),
          { path: "*", Component: NotFound },
        ],
      },
    ],
  },
]);

setUnauthenticatedHandler(() => {
  useSession.getState().signedOut();
  queryClient.clear();
});

export function App() {
  return (
    <ThemeProvider>
      <AntdProvider>
        <QueryClientProvider client={queryClient}>
          <RouterProvider router={router} />
          <Toasts />
        </QueryClientProvider>
      </AntdProvider>
    </ThemeProvider>
  );
}

function AntdProvider({ children }: { children: ReactNode }) {
  const theme = useTheme();
  const language = usePreferences((state) => state.language);
  const config = useMemo(() => antdTheme(theme), [theme]);
  const [locale, setLocale] = useState<Locale>();
  useEffect(() => {
    let current = true;
    void changeLanguage(language);
    if (language === "en") setLocale(undefined);
    else void import("antd/es/locale/zh_CN").then((module) => current && setLocale(module.default));
    return () => {
      current = false;
    };
  }, [language]);
  return (
    <ConfigProvider theme={config} locale={locale} wave={{ disabled: true }}>
      {children}
    </ConfigProvider>
  );
}

function NotFound() {
  const { t } = useTranslation();
  return (
    <div className="page">
      <div className="empty">
        <h1 className="empty-title">{t("notFound.title")}</h1>
        <p className="empty-text">{t("notFound.text")}</p>
        <a className="btn" href="/">
          {t("notFound.home")}
        </a>
      </div>
    </div>
  );
}

function Broken() {
  const error = useRouteError();
  return (
    <div className="page">
      <ErrorBox error={error} onRetry={() => window.location.reload()} />
    </div>
  );
}
