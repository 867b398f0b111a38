//! `completions` and `man`: made from the command tree itself.

use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::ctx::Ctx;
use crate::failure::{Host, Result};

/// Arguments of `completions`.
#[derive(clap::Args, Debug)]
pub(crate) struct CompletionArgs {
    /// For which shell.
    shell: Shell,
}

pub(crate) fn completions(ctx: &Ctx, args: &CompletionArgs) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "oxcrypt", &mut text);
    ctx.out.bytes(&text)?;
    ctx.out.flush()
}

/// Arguments of `man`.
#[derive(clap::Args, Debug)]
pub(crate) struct ManArgs {
    /// Directory for the pages; made if it is missing.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

pub(crate) fn man(ctx: &Ctx, args: &ManArgs) -> Result<()> {
    std::fs::create_dir_all(&args.dir).host(&args.dir)?;
    let mut command = Cli::command();
    command.build();
    let mut count = 0;
    pages(&command, "oxcrypt", &args.dir, &mut count)?;
    ctx.out
        .note(format!("{count} pages in {}", args.dir.display()));
    Ok(())
}

/// One page for a command, and one for each below it.
fn pages(command: &clap::Command, name: &str, dir: &Path, count: &mut usize) -> Result<()> {
    let file = dir.join(format!("{name}.1"));
    // The page's title must live as long as the program.
    let title: &'static str = Box::leak(name.to_owned().into_boxed_str());
    let page = clap_mangen::Man::new(command.clone().name(title).bin_name(name.replace('-', " ")));
    let mut text = Vec::new();
    page.render(&mut text).host(&file)?;
    std::fs::write(&file, text).host(&file)?;
    *count += 1;
    for below in command
        .get_subcommands()
        .filter(|c| !c.is_hide_set() && c.get_name() != "help")
    {
        pages(below, &format!("{name}-{}", below.get_name()), dir, count)?;
    }
    Ok(())
}
