//! Puts the parts together and runs until somebody quits.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use tauri::{AppHandle, Manager as _, RunEvent, UriSchemeContext, WindowEvent, Wry};

use crate::actions::{self, Action};
use crate::args::Args;
use crate::desk::Desk;
use crate::instance::{self, Wish};
use crate::links::Link;
use crate::scheme::{Door, SCHEME};
use crate::start::{self, Started};
use crate::{message, quit, surroundings, window};

/// Threads of the gateway; the window has one of its own.
const THREADS: usize = 4;

/// Runs the app.
///
/// # Errors
/// When it cannot even say what is wrong in a window.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    if !surroundings::has_display() {
        bail!("there is no display: `myelin serve` runs the gateway without one");
    }
    let paths = start::paths(&args)?;
    let wish = match &args.link {
        Some(link) => Wish::Link(link.clone()),
        None if args.hidden => Wish::Nothing,
        None => Wish::Show,
    };
    let Some(place) = instance::take(&paths.data, &wish) else {
        eprintln!("Myelin runs already");
        return Ok(ExitCode::SUCCESS);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .context("no runtime")?;
    tauri::async_runtime::set(runtime.handle().clone());
    let orders = quit::Orders::hear(&runtime);
    let serving = orders.serving();
    let Some(Started { carrier, address, own }) = start::start(&runtime, &args, &paths, &serving)? else {
        return Ok(ExitCode::FAILURE);
    };

    let door = Door::new(carrier.clone());
    let page = door.clone();
    let gateway = own.as_ref().map(|own| own.gateway.clone());
    let data = paths.data.clone();
    let app = tauri::Builder::default()
        .register_asynchronous_uri_scheme_protocol(
            SCHEME,
            move |context: UriSchemeContext<'_, Wry>, request, responder| {
                let ours = context.webview_label() == window::MAIN;
                let door = page.clone();
                tauri::async_runtime::spawn(async move {
                    if ours {
                        responder.respond(door.answer(request).await);
                    }
                });
            },
        )
        .setup(move |app| {
            let handle = app.handle().clone();
            let desk = Desk::new(handle.clone(), carrier, door, gateway, data);
            desk.update(|facts| facts.address = address);
            app.manage(desk.clone());
            begin(&desk, &args, place, orders);
            if let Some(own) = own {
                let desk = desk.clone();
                tauri::async_runtime::spawn(async move {
                    let _ = own.serving.await;
                    quit::end(&desk);
                });
            }
            Ok(())
        })
        .on_menu_event(|app, event| {
            let Some(desk) = app.try_state::<Desk>() else { return };
            if let Some(action) = desk.clicked(&event) {
                actions::run(&desk, action);
            }
        })
        .on_window_event(|window, event| {
            if let WindowEvent::CloseRequested { api, .. } = event {
                api.prevent_close();
                if let Some(desk) = window.try_state::<Desk>() {
                    window::closing(&desk);
                }
            }
        })
        .build(tauri::generate_context!())
        .context("the window system cannot be used")?;
    let code = app.run_return(|app, event| handle(app, &event));
    drop(runtime);
    Ok(if code == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn begin(desk: &Desk, args: &Args, place: instance::Place, orders: quit::Orders) {
    let tray = desk.make_tray();
    desk.follow();
    tauri::async_runtime::spawn(orders.obey(desk.clone()));
    let hearing = desk.clone();
    tauri::async_runtime::spawn(place.listen(move |wish| grant(&hearing, wish)));
    match &args.link {
        Some(link) => follow_link(desk, link),
        // Without a tray a hidden app could not be found.
        None if args.hidden && tray => {}
        None => window::open(desk, None),
    }
}

/// What a second start wants.
fn grant(desk: &Desk, wish: Wish) {
    match wish {
        Wish::Show => window::open(desk, None),
        Wish::Link(link) => follow_link(desk, &link),
        Wish::Nothing => {}
    }
}

/// Asks, then does what a link says.
fn follow_link(desk: &Desk, link: &str) {
    let link = match Link::parse(link) {
        Ok(link) => link,
        Err(why) => return message::tell(desk.app(), format!("A link was refused.\n{why}")),
    };
    let question = format!("{}\nA link asks for this. Say yes only if you meant it.", link.question());
    let desk = desk.clone();
    let app = desk.app().clone();
    message::ask(&app, question, "Yes", "No", move |yes| {
        if !yes {
            return;
        }
        actions::run(
            &desk,
            match link {
                Link::Use { profile, tool: None } => Action::Use(profile),
                Link::Use { profile, tool: Some(tool) } => Action::UseFor { tool, profile: Some(profile) },
                Link::Page(path) => Action::Page(path),
            },
        );
    });
}

#[cfg_attr(not(target_os = "macos"), expect(unused_variables, reason = "only macOS brings an app back this way"))]
fn handle(app: &AppHandle, event: &RunEvent) {
    match event {
        // The last window is gone; the tray lives on.
        RunEvent::ExitRequested { api, code: None, .. } => api.prevent_exit(),
        #[cfg(target_os = "macos")]
        RunEvent::Reopen { .. } => {
            if let Some(desk) = app.try_state::<Desk>() {
                window::open(&desk, None);
            }
        }
        #[cfg(target_os = "macos")]
        RunEvent::Opened { urls } => {
            if let Some(desk) = app.try_state::<Desk>() {
                urls.iter().for_each(|url| follow_link(&desk, url.as_str()));
            }
        }
        _ => {}
    }
}
