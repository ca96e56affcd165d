import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from "@tanstack/react-router";
import { cleanCosts } from "@/features/costs/search";
import { cleanPerformance } from "@/features/performance/measures";
import { type Format, FORMATS } from "@/features/playground/formats";
import { cleanRequests } from "@/features/requests/search";
import { Broken, Missing } from "./broken";
import { Shell } from "./shell";

const root = createRootRoute({ component: Shell, notFoundComponent: Missing, errorComponent: Broken });

const home = createRoute({
  getParentRoute: () => root,
  path: "/",
  component: lazyRouteComponent(() => import("@/features/home/page"), "HomePage"),
});

const settings = createRoute({
  getParentRoute: () => root,
  path: "/settings",
  component: lazyRouteComponent(() => import("@/features/settings/page"), "SettingsPage"),
});

const requests = createRoute({
  getParentRoute: () => root,
  path: "/requests",
  validateSearch: cleanRequests,
  component: lazyRouteComponent(() => import("@/features/requests/page"), "RequestsPage"),
});

const flag = (value: unknown) => value === true || undefined;
const text = (value: unknown) => (typeof value === "string" || typeof value === "number" ? String(value) : undefined);

const channels = createRoute({
  getParentRoute: () => root,
  path: "/channels",
  validateSearch: (raw: Record<string, unknown>): { add?: string; edit?: string; look?: string; found?: boolean } => ({
    add: text(raw.add),
    edit: text(raw.edit),
    look: text(raw.look),
    found: flag(raw.found),
  }),
  component: lazyRouteComponent(() => import("@/features/channels/page"), "ChannelsPage"),
});

const keys = createRoute({
  getParentRoute: () => root,
  path: "/keys",
  validateSearch: (raw: Record<string, unknown>): { add?: boolean; edit?: string } => ({
    add: flag(raw.add),
    edit: text(raw.edit),
  }),
  component: lazyRouteComponent(() => import("@/features/keys/page"), "KeysPage"),
});

const profiles = createRoute({
  getParentRoute: () => root,
  path: "/profiles",
  validateSearch: (raw: Record<string, unknown>): { edit?: string; like?: string; preset?: string; add?: boolean } => ({
    edit: text(raw.edit),
    like: text(raw.like),
    preset: text(raw.preset),
    add: flag(raw.add),
  }),
  component: lazyRouteComponent(() => import("@/features/profiles/page"), "ProfilesPage"),
});

const routes = createRoute({
  getParentRoute: () => root,
  path: "/routes",
  validateSearch: (raw: Record<string, unknown>): { edit?: string; add?: boolean } => ({
    edit: text(raw.edit),
    add: flag(raw.add),
  }),
  component: lazyRouteComponent(() => import("@/features/routes/page"), "RoutesPage"),
});

const tools = createRoute({
  getParentRoute: () => root,
  path: "/tools",
  validateSearch: (
    raw: Record<string, unknown>,
  ): { view?: "folders"; connect?: string; repair?: string; restore?: string; snippet?: string } => ({
    view: raw.view === "folders" ? "folders" : undefined,
    connect: text(raw.connect),
    repair: text(raw.repair),
    restore: text(raw.restore),
    snippet: text(raw.snippet),
  }),
  component: lazyRouteComponent(() => import("@/features/tools/page"), "ToolsPage"),
});

const playground = createRoute({
  getParentRoute: () => root,
  path: "/playground",
  validateSearch: (raw: Record<string, unknown>): { model?: string; other?: string; format?: Format } => ({
    model: text(raw.model),
    other: text(raw.other),
    format: FORMATS.find((format) => format === raw.format),
  }),
  component: lazyRouteComponent(() => import("@/features/playground/page"), "PlaygroundPage"),
});

const costs = createRoute({
  getParentRoute: () => root,
  path: "/costs",
  validateSearch: cleanCosts,
  component: lazyRouteComponent(() => import("@/features/costs/page"), "CostsPage"),
});

const performance = createRoute({
  getParentRoute: () => root,
  path: "/performance",
  validateSearch: cleanPerformance,
  component: lazyRouteComponent(() => import("@/features/performance/page"), "PerformancePage"),
});

const limits = createRoute({
  getParentRoute: () => root,
  path: "/limits",
  validateSearch: (raw: Record<string, unknown>): { add?: boolean } => ({ add: flag(raw.add) }),
  component: lazyRouteComponent(() => import("@/features/limits/page"), "LimitsPage"),
});

export const router = createRouter({
  routeTree: root.addChildren([
    home,
    requests,
    channels,
    keys,
    profiles,
    routes,
    tools,
    playground,
    settings,
    costs,
    performance,
    limits,
  ]),
  defaultPreload: "intent",
  scrollRestoration: true,
  defaultErrorComponent: Broken,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
