# UNTESTED. The headless server; url and sha256 are filled in for each release.
class Myelin < Formula
  desc "One local address for every model"
  homepage "https://github.com/myelin-gateway/myelin"
  url "https://github.com/myelin-gateway/myelin/archive/refs/tags/v0.1.0.tar.gz"
  sha256 "0000000000000000000000000000000000000000000000000000000000000000"
  license any_of: ["Apache-2.0", "MIT"]

  depends_on "node" => :build
  depends_on "rust" => :build

  def install
    cd "ui" do
      system "npm", "ci", "--ignore-scripts"
      system "npm", "run", "build"
    end
    system "cargo", "install", *std_cargo_args(path: "cli")
    generate_completions_from_executable(bin/"myelin", "completions")
  end

  service do
    run [opt_bin/"myelin", "serve"]
    keep_alive successful_exit: false
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/myelin --version")
  end
end
