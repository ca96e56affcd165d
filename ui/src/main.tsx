import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { refreshConfigured } from "./api/queries";
import { startKeys } from "./app/keys";
import { queries } from "./app/query";
import { router } from "./app/router";
import { startTheme } from "./app/theme";
import { startLanguage } from "./i18n";
import { onChangedElsewhere } from "./lib/shell";
import "./styles.css";

startKeys();
startTheme();
await startLanguage();
onChangedElsewhere(() => void refreshConfigured());

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={queries}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </StrictMode>,
  );
}
