"""What transforms, neighbours and step sizes could give, for Gaussian hidden states at the four cuts.

    python theory.py DUMPS [MODEL]        torch 2.15, transformers 5.23 (Python 3.11, one thread)

DUMPS is what dump.py wrote. All figures are bits a value. With MODEL the diagonal Fisher information of the
hidden states, about 2,046 positions with tokens drawn from the model's own predictions, says what steps per direction
could save at most.
"""
import pathlib, sys
import torch

torch.set_num_threads(1)
dumps = pathlib.Path(sys.argv[1])


def load(name, cut, windows):
    rows = torch.from_file(str(dumps / f"{name}{cut}.f32"), size=(dumps / f"{name}{cut}.f32").stat().st_size // 4)
    rows = rows.view(-1, 2048, 576)[windows].reshape(-1, 576)
    norms = rows.norm(dim=1)
    return rows[norms < 4 * norms.median()], norms


def half_log(x):
    return 0.5 * torch.log2(x)


def klt(covariance, rows):
    """What the eigenvectors of a covariance save on rows."""
    turned = (rows - rows.mean(0)) @ torch.linalg.eigh(covariance)[1]
    return (half_log(rows.var(0)).mean() - half_log(turned.var(0)).mean()).item()


def shrunk(s, share):
    return s * (1 - share) + share * torch.diag(s.diagonal())


print("cut  largest/median norm  Hadamard   KLT of the same rows  of window 0  of calibration  … 30 % to its diagonal  neighbour")
for cut in range(4):
    first, norms = load("test", cut, slice(0, 1))
    last, _ = load("test", cut, slice(4, 5))
    calibration, _ = load("calib", cut, slice(None))
    variance = last.var(0)
    loss = (half_log(variance.mean()) - half_log(variance).mean()).item()
    a, b = (rows - last.mean(0) for rows in (last[1:], last[:-1]))
    rho = (a * b).sum(0) / (a.norm(dim=0) * b.norm(dim=0))
    covariance = torch.cov(calibration.T)
    print(f"{cut:3} {norms.max() / norms.median():10.1f} {-loss:17.3f} {klt(torch.cov(last.T), last):14.3f} "
          f"{klt(torch.cov(first.T), last):20.3f} {klt(covariance, last):12.3f} {klt(shrunk(covariance, .3), last):20.3f} "
          f"{-half_log(1 - rho ** 2).mean().item():20.3f}")

if len(sys.argv) > 2:
    from dump import model_of, states

    model, _ = model_of(sys.argv[2])
    [weight.requires_grad_(False) for weight in model.parameters()]
    torch.manual_seed(0)
    fisher = [torch.zeros(576, 576, dtype=torch.float64) for _ in range(4)]
    for ids in torch.load(dumps / "tokens.pt")["test"][[0, 4]]:
        ids = ids[:1024]

        def keep(h):
            h = h if h.requires_grad else h.detach().requires_grad_(True)
            h.retain_grad()
            return h

        kept, h = states(model, ids, keep)
        logits = model.lm_head(model.model.norm(h))[0]
        drawn = torch.multinomial(torch.softmax(logits.detach(), -1), 1)[:, 0]
        torch.nn.functional.cross_entropy(logits, drawn, reduction="sum").backward()
        for sum, h in zip(fisher, kept):
            gradient = h.grad[0, 1:].double()
            sum += gradient.T @ gradient / 2046
    print("\nbits above the best linear transform and steps that the Fisher information allows, steps ∝ σ^a or 1/√Fisher")
    powers = (0, 0.25, 0.5, 0.75, 1)
    print("cut  basis    " + "".join(f"  a = {a:<5}" for a in powers) + "  1/√Fisher")
    for cut, h in enumerate(fisher):
        rows = load("test", cut, [0, 3])[0].double()
        h = h + 1e-3 * h.diagonal().mean() * torch.eye(576)
        best = half_log(torch.linalg.eigvalsh(h)).mean()
        covariance = torch.cov(rows.T)
        values, vectors = torch.linalg.eigh(covariance)
        for basis, d, v in (("channels", h.diagonal(), covariance.diagonal()), ("KLT", (vectors.T @ h @ vectors).diagonal(), values)):
            cost = lambda log_d: (half_log((d * 2 ** log_d).mean()) - 0.5 * log_d.mean() - best).item()
            costs = [cost(a * torch.log2(v)) for a in powers] + [cost(-torch.log2(d))]
            print(f"{cut:3}  {basis:9}" + "".join(f"  {c:9.3f}" for c in costs))
