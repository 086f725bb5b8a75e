import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

/** Where `npm run dev` sends API calls: a running `quaywatch`, or the mock server. */
const backend = process.env.QUAYWATCH_URL ?? "http://127.0.0.1:18000";

export default defineConfig({
  plugins: [react()],
  build: {
    target: "es2022",
    // Everything is a file of our own origin: data: URLs would need a wider content security policy.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 800,
    modulePreload: { polyfill: false },
  },
  server: {
    host: "127.0.0.1",
    port: 5173,
    proxy: {
      "/api": { target: backend, changeOrigin: false },
      "/docs": { target: backend, changeOrigin: false },
    },
  },
  test: {
    environment: "jsdom",
    include: ["src/**/*.test.{ts,tsx}"],
    restoreMocks: true,
    setupFiles: ["./src/test-setup.ts"],
  },
});
